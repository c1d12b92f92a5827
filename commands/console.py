"""Shared parts of all commands: the consoles, the display of errors, and the check for missing packages."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Annotated, TextIO

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.text import Text

from cutstream.errors import ConfigurationError, CutstreamError, InvalidOption, InvalidProfile, InvalidRequest
from cutstream.printable import one_line, printable


class _Safe(RenderHook):
    """Escapes characters that could control the terminal in everything that a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_PrintableRenderable(renderable) for renderable in renderables]


class _PrintableRenderable:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def safe(renderable: ConsoleRenderable) -> ConsoleRenderable:
    """Return what a live display may show: the display draws it by itself, past the console's hook."""
    return _PrintableRenderable(renderable)


def has_screen() -> bool:
    """Tell whether standard output is a terminal on which what was written can be changed."""
    return sys.stdout.isatty() and out.is_terminal and not out.is_dumb_terminal


_UNFOLDED = 10_000  # columns


def width_of(stream: TextIO | None) -> int | None:
    """Return the width of a console on the stream: the terminal's, or so much that a row of a table is one line."""
    return None if stream and stream.isatty() else _UNFOLDED


out = Console(width=width_of(sys.stdout))
err = Console(stderr=True, width=width_of(sys.stderr))
for _console in (out, err):
    _console.push_render_hook(_Safe())

Profile = Annotated[str | None, typer.Option(help="The profile. Defaults to the deployment's default profile.")]


WRONG_ARGUMENTS = (InvalidOption, InvalidProfile, InvalidRequest)


def status_of(error: CutstreamError) -> int:
    """Return a command's exit status: 2 for arguments that are wrong, as for those that the parser refuses, else 1."""
    return 2 if isinstance(error, WRONG_ARGUMENTS) else 1


@contextmanager
def named_errors(status: Callable[[CutstreamError], int] = status_of) -> Iterator[None]:
    """Show a named error as its code and message, without a stack trace, and exit with its `status`."""
    try:
        yield
    except CutstreamError as exc:
        # Text, not markup: a message may quote anything, square brackets included.
        err.print(Text.assemble((exc.code, "bold red"), f": {exc}"), soft_wrap=True)
        raise typer.Exit(status(exc)) from exc


def echo(line: object) -> None:
    """Print something as one line, for programs to read: without wrapping, and safe for a terminal."""
    typer.echo(one_line(str(line)))


def confirm(question: str) -> None:
    """Ask, and end the command if the answer is no."""
    typer.confirm(one_line(question), abort=True)


def show_safely() -> None:
    """Make safe for a terminal what Python itself prints: stack traces, and log records where no log is set up."""
    sys.excepthook = _print_trace
    if logging.lastResort:
        logging.lastResort.setFormatter(_Printable())


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _print_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(printable("".join(format_exception(kind, error, trace))))


def say(message: str) -> None:
    """Print a message that may quote anything, with the time of day."""
    out.print(f"{datetime.now():%H:%M:%S} {message}", soft_wrap=True, highlight=False, markup=False)


def tell(text: str) -> None:
    """Print a message for people on standard error: standard output may be for programs."""
    err.print(text, soft_wrap=True, highlight=False, markup=False)


def require_packages(command: str, *modules: str, target: str = "setup") -> None:
    """Raise ConfigurationError if a package is missing; the message names the `make` target that installs it."""
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ConfigurationError(
            f"`cutstream {command}` needs {', '.join(missing)}: run `make {target}` in the checkout"
        )


def program() -> str:
    """Return the command that starts this program, as it can be pasted into a shell in the current folder."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {path.parent.name}"
    return shlex.quote(os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path))
