"""`python -m consumer` with a wall clock that can jump: an hour ahead on SIGUSR1, an hour back on SIGUSR2.

SIGQUIT writes the stacks of all threads to the log.
The jump reaches everything in the process that asks Python for the time, the Kafka client included.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import time

JUMP_S = 3600.0
_offset_s = 0.0
_true_time = time.time


def _time() -> float:
    return _true_time() + _offset_s


def _jump(number: int, _: object) -> None:
    global _offset_s
    _offset_s += JUMP_S if number == signal.SIGUSR1 else -JUMP_S


if __name__ == "__main__":
    time.time = _time
    faulthandler.register(signal.SIGQUIT)  # writes the stacks of all threads to the log
    for signal_number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signal_number, _jump)

    from consumer.__main__ import main  # after the change of clock

    sys.exit(main(sys.argv[1:]))
