"""Run the command line: `python -m commands`, or the program `cutstream`."""

from __future__ import annotations

import io
import sys

from commands.app import app
from cutstream.signals import exit_on_termination


def main() -> None:
    """Run the command that the arguments name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what cannot be written in the terminal's encoding is escaped
            stream.reconfigure(errors="backslashreplace")
    exit_on_termination()
    app()


if __name__ == "__main__":
    main()
