"""Watch workers at work in the terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from commands.attaching import located
from commands.console import echo, has_screen, named_errors, out, safe
from cutstream.errors import InvalidOption

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable

    from cutstream.settings import Settings
    from cutstream.watching.view import View


def top(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDRESS", help="Workers, as HOST:PORT. Defaults to the local stack's worker."),
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Show it once, after two seconds. Exits with 1 if no worker answers, ready or not."
        ),
    ] = False,
) -> None:
    """Watch workers at work: rate, lag, latency, failures, and the stage that holds the photos up.

    Asks each worker once a second for its metrics, with CUTSTREAM_WORKER__METRICS_TOKEN if that is set. Press q or
    Ctrl-C to end. Where the output is no terminal, prints a line a second.
    """
    from commands.watching.screen import line, picture
    from cutstream.settings import load
    from cutstream.watching.scraping import INTERVAL_S, Scraper
    from cutstream.watching.view import view_of

    with named_errors():
        settings = load() if addresses else located(load())
        workers = worker_addresses(addresses or [], settings)
    terminal = has_screen()

    def drawn(view: View, keys: str = "") -> ConsoleRenderable:
        return safe(picture(view, out.width, out.height, keys, out.options.ascii_only))

    def seen() -> View:
        return view_of(scraper.observed(), settings.kafka.retry_topic)

    with Scraper(workers, settings.worker.metrics_token) as scraper:
        try:
            if once:
                sleep(2 * INTERVAL_S)
                view = seen()
                out.print(drawn(view)) if terminal else echo(line(view))
                raise typer.Exit(all(worker.away for worker in view.workers))
            if not terminal:
                while True:
                    sleep(INTERVAL_S)
                    echo(line(seen()))
            _watch(lambda: drawn(seen(), "q: quit"), INTERVAL_S)
        except KeyboardInterrupt:
            pass


def _watch(draw: Callable[[], ConsoleRenderable], interval_s: float) -> None:
    """Draw on the whole screen until q is pressed. The terminal is as before afterwards, however this ends."""
    from rich.live import Live

    live = Live(draw(), console=out, screen=True, auto_refresh=False)
    with _single_keys() as pressed:
        try:
            live.start(refresh=True)
            while not pressed(interval_s):
                live.update(draw(), refresh=True)
        finally:
            live.stop()  # Ctrl-C may come inside of start


@contextmanager
def _single_keys() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits for so many seconds and returns whether q was pressed meanwhile."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def quits(seconds: float) -> bool:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return bool(ready) and os.read(descriptor, 64) in (b"q", b"Q", b"")

    try:
        tty.setcbreak(descriptor)
        yield quits
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> bool:
    sleep(seconds)
    return False


def worker_addresses(addresses: list[str], settings: Settings) -> list[str]:
    """Return the workers' addresses as HOST:PORT, each once. Raises InvalidOption for what is none.

    What `cutstream up` prints may be given as it is: http://127.0.0.1:9100/metrics.
    """
    from cutstream.settings import host_and_port, is_host_and_port

    if not addresses:
        if settings.worker.port == 0:
            raise InvalidOption("CUTSTREAM_WORKER__PORT=0 is any free port: name the worker's address, as HOST:PORT")
        addresses = [host_and_port(settings.worker.host, settings.worker.port)]
    plain = [address.removeprefix("http://").rstrip("/").removesuffix("/metrics") for address in addresses]
    for address in plain:
        if not is_host_and_port(address):
            raise InvalidOption(f"{address!r} is no worker's address: write HOST:PORT, such as 127.0.0.1:9100")
    return list(dict.fromkeys(plain))
