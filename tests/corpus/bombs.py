"""`python -m tests.corpus.bombs`: all bombs through the real decoder, a line each. Exits with 1 if a bar is missed."""

from __future__ import annotations

import sys

from tests.corpus.decoding import Outcome, measured_decoder
from tests.corpus.judgement import limits_missed
from tests.support.pictures.bombs import Bomb, bombs


def violations(bomb: Bomb, outcome: Outcome) -> tuple[str, ...]:
    """Return the bars that a bomb misses; `outcome` is that it ended otherwise than it says."""
    return (*limits_missed(outcome), *(("outcome",) if outcome.code not in bomb.outcomes else ()))


def main() -> int:
    missed = 0
    with measured_decoder() as decoder:
        for bomb in bombs():
            outcome = decoder.decode(bomb.build())
            bars = violations(bomb, outcome)
            missed += bool(bars)
            held = f"{outcome.peak_bytes / 1e6:5.0f} of {outcome.reserved_bytes / 1e6:5.0f} MB"
            times = f"header {1000 * outcome.header_s:6.1f} ms, decoder {outcome.decode_s:5.2f} s"
            sys.stdout.write(
                f"{bomb.name:42} {outcome.code:21} {times}, {held}  {', '.join(bars) or outcome.message}\n"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
