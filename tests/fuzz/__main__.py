"""Fuzz the reading of images: python -m tests.fuzz header [--seconds 60] [--corpus DIR]

Atheris changes files so that they reach new branches of the code. A file that raises anything but a named error, takes
more than two seconds or two gigabytes, or ends the process is written to the corpus folder's `found`, and the run
fails. Mend it, and make a test of it beside the others of its parser.

Each round is a process of its own, because Atheris does not free the inputs it has tried.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.seeds import write_seeds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=("header", "decode"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=Path(".state/fuzz"))
    options = parser.parse_args()
    seeds, grown, found = (options.corpus / name for name in ("seeds", options.target, "found"))
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    write_seeds(seeds)
    end = time.monotonic() + options.seconds
    while (left := int(end - time.monotonic())) > 0:
        limits = [f"-max_total_time={left}", f"-artifact_prefix={found}/"]
        command = [sys.executable, "-m", "tests.fuzz.round", options.target, *limits, str(grown), str(seeds)]
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
