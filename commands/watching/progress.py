"""Show how far the worker of `cutstream up` is: a line that changes in a terminal, and one now and then in a log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr
from rich.live import Live
from rich.text import Text

from commands.console import has_screen, out, safe, say
from commands.watching.numbers import number, rate
from cutstream.watching.scraping import Scraper
from cutstream.watching.view import RETRY_TOPIC, View, view_of

_LOGGED_EVERY_S = 30.0
_LEFT_EVERY_S = 2.0


@contextmanager
def shown_progress(
    address: str, token: SecretStr | None, stopping: threading.Event, retry_topic: str = RETRY_TOPIC
) -> Iterator[None]:
    """Show the worker's progress until the block is left; once it is `stopping`, how many photos it still has."""
    with Scraper([address], token) as scraper:

        def text() -> str:
            return progress(view_of(scraper.observed(), retry_topic), stopping.is_set())

        with _in_terminal(text) if has_screen() else _in_log(text, stopping):
            yield


def progress(view: View, stopping: bool) -> str:
    """Say in a line what the worker has done and has left: when it stops, of the photos that it has begun."""
    (worker,) = view.workers
    if worker.away:
        return "stopping" if stopping else f"the worker {worker.state}"
    if stopping:
        return f"stopping, {number(view.unfinished)} left"
    parts = [
        f"{number(view.statuses.get('ok', 0))} done",
        *(f"{number(count)} {status}" for status, count in {"failed": 0, **view.statuses}.items() if status != "ok"),
        *([] if view.rate is None else [rate(view.rate)]),
        f"{number(view.waiting)} left",
        *([f"{number(view.retry_lag)} retried later"] if view.retry_lag else []),
        *([] if worker.well else [worker.state]),
    ]
    return ", ".join(parts)


@contextmanager
def _in_terminal(text: Callable[[], str]) -> Iterator[None]:
    def shown() -> Text:
        return Text(text(), "bold", no_wrap=True, overflow="ellipsis")

    with Live(get_renderable=lambda: safe(shown()), console=out, refresh_per_second=2, transient=True):
        yield


@contextmanager
def _in_log(text: Callable[[], str], stopping: threading.Event) -> Iterator[None]:
    """Say it every half minute if it has changed, and while the worker stops every two seconds."""
    ended, said = threading.Event(), [text()]

    def tell() -> None:
        if (now := text()) != said[0]:
            say(now)
            said[0] = now

    def run() -> None:
        while not stopping.wait(_LOGGED_EVERY_S):
            tell()
        tell()
        while not ended.wait(_LEFT_EVERY_S):
            tell()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        ended.set()
        thread.join()
