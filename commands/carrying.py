"""Show a run of photos: progress while it goes on, and at the end what was done, left out and failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import typer

from commands.console import err, tell

if TYPE_CHECKING:
    from producer.folders.work import Report, Stream, Tally, Work
    from producer.ledger import Job, Ledger

_SHOWN_FAILURES = 5
_LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.2
_INTERRUPTED, _TERMINATED = 130, 143


def carry(
    work: Work,
    stream: Stream,
    check_stack: Callable[[], None],
    *,
    contact_sheet: bool = False,
    on_done: Callable[[Job], None] | None = None,
    on_sent: Callable[[Job], None] = lambda job: None,
) -> int:
    """Do the work and return how many photos have failed. `on_done` takes the one photo of a command for one.

    To be called inside `told_when_stopped`.
    """
    from cutstream.errors import StackError
    from producer.folders.running import run
    from producer.folders.work import Report

    ending = _Ending(work, stream, contact_sheet, on_done)
    try:
        with _progress() as show:
            report = Report(_warn, show, on_sent, check_stack)
            run(work, stream, report, ending)
    except (KeyboardInterrupt, SystemExit):
        ending.tell(report)
        raise
    except StackError:
        ending.tell(report)
        raise
    ending.tell(report)
    return ending.failed


@contextmanager
def told_when_stopped() -> Iterator[None]:
    """Say what holds after Ctrl-C and SIGTERM, whenever they come, and exit with 130 or 143."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as exc:
        if isinstance(exc, SystemExit) and exc.code != _TERMINATED:
            raise
        tell("Stopped. The same command goes on where this one stopped.")
        raise typer.Exit(_TERMINATED if isinstance(exc, SystemExit) else _INTERRUPTED) from None


class _Ending:
    """Takes from the ledger what is left to tell, and writes what belongs beside the outputs."""

    def __init__(self, work: Work, stream: Stream, contact_sheet: bool, on_done: Callable[[Job], None] | None) -> None:
        self._work = work
        self._stream = stream
        self._contact_sheet = contact_sheet
        self._on_done = on_done
        self._first: list[Job] = []
        self._lacks_sheet = False
        self.failed = 0

    def __call__(self, ledger: Ledger) -> None:
        from producer.folders.reporting import FAILED_NAME, ON_SHEET, write_failures, write_sheet

        self.failed = ledger.counts["failed"]
        self._first = list(islice(ledger.failures(), _SHOWN_FAILURES))
        if self._on_done is not None:
            for job in ledger.successes(1):
                self._on_done(job)
        elif self._work.out is not None:
            try:
                write_failures(ledger.failures(), self._work.out / FAILED_NAME)
                if self._contact_sheet:
                    sheet = write_sheet(ledger.successes(ON_SHEET), self._work.out, self._fetch)
                    self._lacks_sheet = sheet is None
            except OSError as exc:
                _warn(f"{self._work.out}: {FAILED_NAME} or the contact sheet is not written: {exc.strerror or exc}")

    def _fetch(self, address: str) -> bytes:
        from cutstream.clients.objects.store import ObjectStore

        return ObjectStore(self._stream.settings.objects, self._stream.settings.limits).fetch(address)

    def tell(self, report: Report) -> None:
        """Say what was done, what was left out, and what has failed."""
        tally = report.tally
        if self._on_done is not None and not self.failed and not report.left_out:
            return  # one photo is in its place
        for text in describe_end(tally, self._work, str(report.left_out)):
            tell(text)
        if self._lacks_sheet:
            tell("No contact sheet is drawn: no photo is done.")
        for job in self._first:
            tell(f"  {job.name}: {job.code}: {job.message}")
        if self.failed > len(self._first):
            tell(f"  and {self.failed - len(self._first):,} more")
        if self.failed and self._work.out is not None and self._on_done is None:
            from producer.folders.reporting import FAILED_NAME

            tell(f"  {self._work.out / FAILED_NAME} lists them. The same command tries them again.")


def describe_end(tally: Tally, work: Work, left_out: str) -> Iterator[str]:
    """Yield lines for people about a run that has ended."""
    from producer.folders.reporting import describe_seconds

    where = f" in {work.out}" if work.out and tally.ok else ""
    if work.wait:
        # The rate of a moment says nothing.
        speed = f", {tally.per_second:.1f} img/s" if tally.seconds >= 1 else ""
        time = f" ({describe_seconds(tally.seconds)}{speed})" if tally.ok else ""
        yield f"{_photos(tally.ok)} done{where}{time}."
    else:
        yield f"{_photos(tally.total)} sent; {tally.ok:,} done, {tally.waiting:,} on their way."
    if tally.done:
        was = "was done before and has" if tally.done == 1 else "were done before and have"
        them = "it" if tally.done == 1 else "them"
        yield f"{_photos(tally.done)} {was} not changed: left out (--again does {them} again)."
    if left_out:
        yield f"{left_out}."
    if tally.failed:
        yield f"{_photos(tally.failed)} failed:"


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count:,} photos"


@contextmanager
def _progress() -> Iterator[Callable[[Tally], None]]:
    """Yield what shows the progress: as a bar in a terminal, else as a line now and then."""
    from producer.folders.reporting import describe_progress

    if not err.is_terminal:
        yield _Lines(describe_progress)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(BarColumn(), TextColumn("{task.description}"), console=err, transient=True, auto_refresh=False)
    with bar:
        task = bar.add_task("looking for photos", total=None)
        last = 0.0

        def show(tally: Tally) -> None:
            nonlocal last
            if time.monotonic() - last > _BAR_EVERY_S:
                last = time.monotonic()
                total = tally.total if tally.complete else None
                bar.update(task, description=describe_progress(tally), completed=tally.ok + tally.failed, total=total)
                bar.refresh()

        yield show


class _Lines:
    """Prints a line now and then, but none twice for the same photos: `--watch` may have nothing to do for days."""

    def __init__(self, describe: Callable[[Tally], str], now: Callable[[], float] = time.monotonic) -> None:
        self._describe = describe
        self._now = now
        self._last = now()
        self._told = (0, 0, 0, 0)

    def __call__(self, tally: Tally) -> None:
        counts = (tally.total, tally.ok, tally.failed, tally.waiting)
        if self._now() - self._last > _LINE_EVERY_S and counts != self._told:
            self._last, self._told = self._now(), counts
            tell(self._describe(tally))


def _warn(text: str) -> None:
    tell(f"warning: {text}")
