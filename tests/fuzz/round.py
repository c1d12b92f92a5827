"""One round of fuzzing, with the arguments of libFuzzer behind the target's name."""

from __future__ import annotations

import sys

import atheris

RUNS = 200_000  # of a few kilobytes each
LIMITS = [f"-runs={RUNS}", "-max_len=65536", "-timeout=2", "-rss_limit_mb=2048", "-print_final_stats=1"]


def main() -> None:
    with atheris.instrument_imports(include=["cutstream.images"]):
        from tests.fuzz.targets import TARGETS
    program, target, *arguments = sys.argv
    atheris.Setup([program, *LIMITS, *arguments], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
