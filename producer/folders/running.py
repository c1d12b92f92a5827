"""Have a folder of photos cut out: the flow of `cutstream cut` and `cutstream submit`.

    arguments -> Finder -> Feeder -> Ledger -> Exchange <-> workers
                                        ^         |
                                        '-- outcomes -- Saver -> the user's folder

The ledger is the only thing that is kept: whatever is killed, the same command goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from cutstream.clients.kafka import cluster_and_ends
from cutstream.clients.kafka.checksums import use_fast_checksums
from cutstream.clients.objects.files import path_of
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.building import make_request
from cutstream.contract.messages import Request, Result
from cutstream.errors import InvalidOption, RefusedAddress
from producer.folders.exchange import Exchange, settle_in_bucket
from producer.folders.feeding import Feeder
from producer.folders.identity import options_digest, request_id
from producer.folders.inbox import Inbox
from producer.folders.kinds import LeftOut
from producer.folders.naming import stems
from producer.folders.places import ledger_of_stream
from producer.folders.saving import Saver, are_there
from producer.folders.sources import Finder, FoundPhoto
from producer.folders.walking import identity_of, was_moved
from producer.folders.work import Report, Stream, Work
from producer.following import NoProgress
from producer.ledger import Entry, Job, Ledger, Outcome
from producer.prechecking import refusal_by, warn_of_refusals
from producer.submitting import checked_address

_POLL_S = 0.1
_LAST_POLL_S = 0.25  # once all photos are found; a result ends each wait
_CHECK_S = 0.5
_QUIET_S = 30.0  # without a result: say so
_GIVE_UP_S = 600.0
_WATCH_S = 2.0
_SAVERS = 4
_MAX_LABEL_CHARACTERS = 1000


def run(work: Work, stream: Stream, report: Report, on_end: Callable[[Ledger], None]) -> None:
    """Do the work. `report` tells where it is; `on_end` gets the ledger at the end, also when this is interrupted.

    Raises InvalidOption, InvalidRequest, LedgerUnusable, OutputsNotWritten, NoProgress, and what Kafka's client raises.
    """
    use_fast_checksums()
    base = make_request(work.fields, "file:///photo.jpg")
    store = ObjectStore(stream.settings.objects, stream.settings.limits)
    finder = Finder(store.list, work.lines, _folders_of_outputs(work, stream), report.left_out)
    with Feeder(lambda: _photos(work, stream, finder, report)) as feeder:
        first = _first_chunk(feeder)  # wrong arguments are told of although no broker answers
        kafka = stream.settings.kafka
        topic = kafka.urgent_topic if work.urgent else kafka.requests_topic
        cluster, ends = cluster_and_ends(kafka, topic)
        with Ledger(work.ledger or ledger_of_stream(stream.settings.stack.state, cluster)) as ledger:
            ledger.begin(f"{cluster}/{kafka.results_topic}")
            this = _Run(work, stream, report, base, ledger)
            exchange = Exchange(kafka, ledger, this.request_of, this.settle, topic, ends, work.in_flight, work.wait)
            with exchange:
                this.carry_through(exchange, feeder, first, on_end)


def is_all_done(work: Work, stream: Stream) -> bool:
    """Tell, without a broker, whether every photo of a folder is done already, so that no stack has to be started."""
    if work.again or work.watch or work.out is None or work.ledger is None or not work.ledger.exists():
        return False
    make_request(work.fields, "file:///photo.jpg")
    store = ObjectStore(stream.settings.objects, stream.settings.limits)
    finder = Finder(store.list, (), _folders_of_outputs(work, stream))
    there = partial(are_there, work.out)
    with Ledger(work.ledger) as ledger:
        options = options_digest(work.fields, ledger.token)
        return all(ledger.is_done(_entry_of(photo, options, True), there) for photo in finder.find(work.arguments))


def _first_chunk(feeder: Feeder) -> list[FoundPhoto]:
    while not feeder.ended:
        if chunk := feeder.take(_CHECK_S):
            return chunk
    return []


def _photos(work: Work, stream: Stream, finder: Finder, report: Report) -> Iterator[FoundPhoto]:
    """Yield what is to be sent. Raises a refusal if workers would refuse all of it."""
    photos = _found(work, finder)
    if work.anyway or _lends(work, stream):
        return photos
    refusal = refusal_by(stream.workers_objects, stream.settings.limits, work.fields)
    return warn_of_refusals(photos, refusal, report.warn, lambda photo: photo.address)


def _lends(work: Work, stream: Stream) -> bool:
    """Tell whether photos are lent to the workers. What is lent has to be fetched back by the same command."""
    return stream.inbox is not None and work.wait


def _found(work: Work, finder: Finder) -> Iterator[FoundPhoto]:
    yield from finder.find(work.arguments)
    counted = finder.left_out
    while work.watch:
        time.sleep(_WATCH_S)
        finder.left_out = LeftOut()  # counted once
        try:
            yield from filter(_is_settled, finder.find(work.arguments))
        except InvalidOption:
            pass  # the folder is empty now
        finally:
            finder.left_out = counted


def _is_settled(photo: FoundPhoto) -> bool:
    """Tell whether a file has not changed for some seconds. Else whoever writes it may not have finished."""
    try:
        return time.time_ns() - os.stat(path_of(photo.address)).st_mtime_ns > _WATCH_S * 1e9
    except (OSError, RefusedAddress):
        return False


def _folders_of_outputs(work: Work, stream: Stream) -> frozenset[tuple[int, int]]:
    places = [identity_of(work.out)] if work.out else []
    destination = stream.workers_objects.destination
    if "://" not in destination:
        places.append(identity_of(destination))
    elif destination.startswith("file://"):
        places.append(identity_of(path_of(destination)))
    return frozenset().union(*places)


class _Run:
    """One run over an open ledger."""

    def __init__(self, work: Work, stream: Stream, report: Report, base: Request, ledger: Ledger) -> None:
        self._work = work
        self._report = report
        self._ledger = ledger
        self._options = options_digest(work.fields, ledger.token)
        self._workers = ObjectStore(stream.workers_objects, stream.settings.limits)
        self._inbox = _open_inbox(stream.inbox, ledger) if stream.inbox and _lends(work, stream) else None
        self._saver = _open_saver(work, work.out, stream, self._inbox) if work.out else None
        self._base = base
        if self._inbox is not None and self._saver is not None:
            self._base = msgspec.structs.replace(base, destination=self._inbox.destination)
        self._pool = ThreadPoolExecutor(_SAVERS, "saver")
        self._checked = self._last_news = self._told = time.monotonic()

    def carry_through(
        self, exchange: Exchange, feeder: Feeder, chunk: list[FoundPhoto], on_end: Callable[[Ledger], None]
    ) -> None:
        started = time.monotonic()
        with self._pool:
            try:
                while True:
                    self._add(chunk)
                    sent = exchange.send()
                    for job in sent:
                        self._report.on_sent(job)
                        self._last_news = time.monotonic()
                    wait_s = _LAST_POLL_S if feeder.ended else _POLL_S
                    self._collect(exchange, 0.0 if chunk or sent else wait_s)
                    self._tell(feeder.ended, started)
                    if feeder.ended and self._is_finished():
                        break
                    chunk = feeder.take()
            finally:
                self._tell(feeder.ended, started)
                on_end(self._ledger)
        if self._inbox is not None:
            self._inbox.close()

    def _is_finished(self) -> bool:
        return not self._ledger.unsent and not (self._work.wait and self._ledger.waiting)

    def _add(self, chunk: Sequence[FoundPhoto]) -> None:
        if chunk:
            is_there = partial(are_there, self._work.out) if self._work.out else lambda job: True
            entries = (_entry_of(photo, self._options, self._saver is not None) for photo in chunk)
            added = self._ledger.add(entries, self._work.again, is_there)
            self._report.tally.total += added.new + added.on_their_way
            self._report.tally.done += added.done
            self._last_news = time.monotonic()

    def request_of(self, job: Job) -> Request:
        """Make a job's request. Raises SourceFailed, AddressNotAllowed, OutputExists or InvalidRequest."""
        if self._saver is not None:
            self._saver.check_free(job, self._base.outputs, _extension_of(self._base))
        image, labels = job.source, self._base.labels
        if not image.startswith("file://"):
            image = checked_address(image)  # a list may hold anything
        elif self._inbox is not None and not self._may_read(image):
            image = self._inbox.lend(path_of(image), job.id)
            labels = {**labels, "photo": os.fsencode(job.name).decode(errors="replace")[:_MAX_LABEL_CHARACTERS]}
        return msgspec.structs.replace(self._base, id=job.id, image=image, replay=job.replay, labels=labels)

    def _may_read(self, address: str) -> bool:
        try:
            self._workers.check_source(address)
        except RefusedAddress:
            return False
        return True

    def settle(self, pairs: Sequence[tuple[Job, Result]]) -> list[Outcome]:
        if self._saver is None:
            return settle_in_bucket(pairs)
        self._ledger.note_intended((job, self._saver.intended(job, result)) for job, result in pairs)
        return list(self._pool.map(self._saver, *zip(*pairs, strict=True)))

    def _collect(self, exchange: Exchange, timeout_s: float) -> None:
        now = time.monotonic()
        if exchange.collect(timeout_s) or not self._ledger.waiting:
            self._last_news = now
        if now - self._checked > _CHECK_S:
            self._report.check_stack()
            self._checked = now
        quiet_s = now - self._last_news
        if quiet_s > _GIVE_UP_S:
            raise NoProgress(
                f"{_waiting(self._ledger.waiting)}, and no result has come for {_GIVE_UP_S / 60:g} minutes: is a "
                "worker running, and do the places of photos and outputs answer? The same command goes on where this "
                "one stopped"
            )
        if quiet_s > _QUIET_S and now - self._told > _QUIET_S:
            self._told = now
            self._report.warn(
                f"{_waiting(self._ledger.waiting)}, and no result has come for {quiet_s:.0f} s. Either no worker is "
                "running, or it is busy with others' photos, or the place of a photo or of its output does not answer, "
                "which is tried again and again: `cutstream top` and the worker's log show which"
            )

    def _tell(self, complete: bool, started: float) -> None:
        tally, counts = self._report.tally, self._ledger.counts
        tally.ok, tally.failed, tally.waiting = counts["ok"], counts["failed"], self._ledger.waiting
        tally.complete, tally.seconds = complete, time.monotonic() - started
        self._report.on_progress(tally)


def _waiting(count: int) -> str:
    return "1 photo waits" if count == 1 else f"{count:,} photos wait"


def _entry_of(photo: FoundPhoto, options: str, has_place: bool) -> Entry:
    id = request_id(photo.address, photo.version, options)
    if not has_place:
        return Entry(id, photo.address, photo.name)

    def earlier_id(address: str) -> str | None:
        return request_id(address, photo.version, options) if was_moved(address, photo.address) else None

    return Entry(id, photo.address, photo.name, partial(stems, photo.name, photo.crowded), earlier_id)


def _open_inbox(folder: Path, ledger: Ledger) -> Inbox:
    inbox = Inbox(folder, ledger.token)
    inbox.open()
    return inbox


def _open_saver(work: Work, out: Path, stream: Stream, inbox: Inbox | None) -> Saver:
    # The allowed buckets limit requests, not what the worker itself wrote.
    update = {"destination": stream.workers_objects.destination, "allowed_buckets": ()}
    own = ObjectStore(stream.settings.objects.model_copy(update=update), stream.settings.limits)
    saver = Saver(out, own.fetch_own, inbox, work.overwrite)
    saver.open()
    return saver


def _extension_of(request: Request) -> str:
    """Return the extension that outputs of a request will most likely have. The result has the last word."""
    known = {"jpeg": "jpg", "webp": "webp", "zip": "zip"}
    return known.get(request.format, "png")
