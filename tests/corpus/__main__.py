"""`python -m tests.corpus`: mutants through the real decoder, and a report. Exits with 1 if a bar is missed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.corpus.report import table, to_json
from tests.corpus.run import run_mutants


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--mutants", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of single mutants")
    parser.add_argument("--out", type=Path, default=Path("out/mutants"), help="folder of the report and the bad files")
    chosen = parser.parse_args()
    numbers = range(chosen.mutants) if chosen.only is None else chosen.only
    tally = run_mutants(chosen.seed, numbers, chosen.out / "files", _show)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "report.json").write_text(json.dumps(to_json(chosen.seed, tally), indent=2) + "\n")
    sys.stdout.write(table(tally))
    return 1 if tally.violations else 0


def _show(number: int) -> None:
    if number % 100 == 99:
        sys.stderr.write(f"{number + 1}\n")


if __name__ == "__main__":
    sys.exit(main())
