"""Run the command line: `python -m commands`, or the program `cutstream`."""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130


def _leave(number: int, frame: object) -> None:
    """Leave at once: while the modules below are loaded, Ctrl-C would print a stack trace, and nothing is open yet."""
    os._exit(_INTERRUPTED)


_usual = signal.signal(signal.SIGINT, _leave) if signal.getsignal(signal.SIGINT) is signal.default_int_handler else None

import errno  # noqa: E402
import io  # noqa: E402
import sys  # noqa: E402
from typing import TextIO  # noqa: E402

from typer.main import get_command  # noqa: E402

from commands.app import app  # noqa: E402
from commands.console import show_safely  # noqa: E402
from cutstream.signals import exit_on_termination  # noqa: E402

if _usual is not None:
    signal.signal(signal.SIGINT, _usual)

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    """Run the command that the arguments name."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what cannot be written in the terminal's encoding is escaped
            stream.reconfigure(errors="backslashreplace")
    show_safely()
    exit_on_termination()
    try:
        try:
            get_command(app)()  # `app()` would replace the hook of `show_safely`
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except OSError as exc:
        if exc.errno not in _DISK_FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries again at its end
        sys.exit(f"cannot write to {exc.filename or 'the output'}: {exc.strerror}")


def _nowhere() -> TextIO:
    """Return a stream that discards its text, in place of one that the caller has closed."""
    return open(os.devnull, "w", encoding="utf-8")


if __name__ == "__main__":
    main()
