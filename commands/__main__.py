"""Run the command line: `python -m commands`, or the program `cutstream`."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from typer.main import get_command

from commands.app import app
from commands.console import show_safely
from cutstream.signals import exit_on_termination

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
