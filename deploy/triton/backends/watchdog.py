"""End the server when its backend's process has died or stood still. The backend starts this program as its child.

    watchdog.py SERVER      the server's process id; standard input is a pipe from the backend's process

Triton's Python backend gives its process one second to show that it is alive. After that it fails the request, frees
its memory and sends the next one. A process that goes on later still answers the first request, and Triton takes that
for the answer to the second: from then on, every answer belongs to another request, until the server crashes. A process
that has died is never started again, while the server goes on to report that it is ready.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from time import CLOCK_REALTIME, clock_gettime  # as Triton's time-outs: a step forwards of the clock ends them, too

TICK_S = 0.1
MAX_PAUSE_S = 0.7  # the process shows every 0.3 s that it is alive, and has 1 s to do so
DONE = b"done"


def watch(backend: int) -> str:
    """Return what happened to the backend's process, or an empty string if it unloads its model and ends."""
    awake_s = running_s = clock_gettime(CLOCK_REALTIME)
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], TICK_S)
        if readable:
            return "" if os.read(sys.stdin.fileno(), len(DONE)) == DONE else "has died"
        now_s = clock_gettime(CLOCK_REALTIME)
        if not is_stopped(backend):
            running_s = now_s
        pause_s = max(now_s - awake_s, now_s - running_s)
        if pause_s > MAX_PAUSE_S:
            return f"stood still for {pause_s:.1f} s"
        awake_s = now_s


def is_stopped(process: int) -> bool:
    try:
        return _status(process, "stat").rpartition(")")[2].split()[0] in "tT"
    except FileNotFoundError:
        return False  # it has ended, which standard input tells


def _status(process: int, name: str) -> str:
    with open(f"/proc/{process}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def main() -> None:
    server = int(sys.argv[1])
    event = watch(os.getppid())
    if event and _status(server, "comm").strip() == "tritonserver":
        sys.stderr.write(f"fatal: a backend's process {event}. Triton cannot recover from that, so the server ends.\n")
        os.kill(server, signal.SIGKILL)


if __name__ == "__main__":
    main()
