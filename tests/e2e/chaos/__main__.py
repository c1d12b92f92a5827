"""`python -m tests.e2e.chaos`: a long run that writes a report. Exits with 1 if it finds a violation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.ending import run
from tests.e2e.chaos.folder import JARS, TOOLS, run_folder
from tests.e2e.chaos.report import REPORTS, write_report
from tests.e2e.chaos.run import Options, run_chaos
from tests.e2e.chaos.schedule import KINDS, WATCH_S


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--photos", type=int, default=24, help="different photos")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of faults, separated by commas")
    parser.add_argument("--watch-s", nargs=2, type=float, default=WATCH_S, help="least and most time between faults")
    parser.add_argument("--out", type=Path, default=Path("out/chaos"), help="folder of the report and the logs")
    chosen = parser.parse_args()
    options = Options(
        requests=chosen.requests,
        seed=chosen.seed,
        faults=chosen.faults,
        photos=chosen.photos,
        kinds=chosen.kinds.split(","),
        watch_s=tuple(chosen.watch_s),
    )
    out = chosen.out.absolute()
    with run_folder("chaos", out, REPORTS) as folder:
        outcome = run_chaos(options, folder, TOOLS, JARS)
        page = write_report(outcome, out)
    sys.stdout.write(page.read_text())
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(run(main))
