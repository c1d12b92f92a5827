"""Submit requests and follow them to their results, and read the results of others."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.contract.messages import DECODE_ERRORS, Request, Result, decode_result, encode
from cutstream.errors import CutstreamError
from cutstream.settings import KafkaSettings
from producer.reading import read_to_end

log = logging.getLogger(__name__)

_POLL_S = 0.1
_FOLLOW_POLL_S = 1.0
_DUPLICATE_WAIT_S = 0.5  # a second result for a request would arrive within this time


class NoProgress(CutstreamError):
    """No result has arrived for a long time.

    Look at the logs of the worker, Triton and the broker: one of them has stopped working.
    """

    code = "no_progress"


@dataclass
class Batch:
    """Requests by id, and the results that have arrived for them.

    Times are seconds of this process's monotonic clock. `submitted_s` holds when each request was due, `latencies_s`
    how long after that its result arrived, `duration_s` the time from the start to the last result.
    """

    requests: dict[str, Request]
    results: dict[str, Result] = field(default_factory=dict)
    submitted_s: dict[str, float] = field(default_factory=dict)
    latencies_s: dict[str, float] = field(default_factory=dict)
    duplicates: int = 0
    duration_s: float = 0.0

    @property
    def images_per_second(self) -> float:
        return len(self.results) / self.duration_s if self.duration_s else 0.0

    def count(self, status: str) -> int:
        return sum(result.status == status for result in self.results.values())

    def latency_ms(self, quantile: float) -> float:
        """Return a quantile (0..1) of the latencies by nearest rank, or 0 if there are no results."""
        ordered = sorted(self.latencies_s.values())
        return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)] * 1000 if ordered else 0.0


class RequestFollower:
    """Submits requests and collects their results.

    It is a context manager. It reads from the end of the results topic, and starts to do so before it writes the first
    request, so that it misses no result.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._writer = RecordWriter(settings)
        self._results = TopicReader(settings, settings.results_topic, from_end=True)

    def __enter__(self) -> RequestFollower:
        self._results.start()
        self._writer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()
        self._results.close()

    def follow(
        self,
        requests: Sequence[Request],
        *,
        interval_s: float = 0.0,
        max_in_flight: int | None = None,
        collect_timeout_s: float = 120.0,
        on_progress: Callable[[Batch], None] = lambda batch: None,
    ) -> Batch:
        """Submit the requests, each of which needs an id, and return when every one of them has its result.

        With `interval_s` one request is written every so many seconds, whether results arrive or not (an open loop);
        otherwise all are written at once. With `max_in_flight` no more requests than that are without a result, and
        latencies include the wait for a place. `on_progress` is called several times a second and may raise to stop.

        Raises NoProgress if no result arrives for `collect_timeout_s`.
        """
        batch = Batch({request.id: request for request in requests if request.id})
        waiting = deque(requests)
        started = last_result = time.monotonic()
        while len(batch.results) < len(batch.requests):
            in_flight = len(batch.submitted_s) - len(batch.results)
            room = math.inf if max_in_flight is None else max_in_flight - in_flight
            self._write_due(batch, waiting, started, interval_s, room)
            if self._collect(batch, min(_POLL_S, interval_s or _POLL_S)):
                last_result = time.monotonic()
            elif time.monotonic() - last_result > collect_timeout_s:
                missing = len(batch.requests) - len(batch.results)
                raise NoProgress(
                    f"{missing} of {len(batch.requests)} requests have no result after {collect_timeout_s:g} s"
                )
            on_progress(batch)
        batch.duration_s = last_result - started
        self._collect(batch, _DUPLICATE_WAIT_S)
        return batch

    def _write_due(self, batch: Batch, waiting: deque[Request], started: float, interval_s: float, room: float) -> None:
        due: list[Request] = []
        while waiting and len(due) < room and time.monotonic() - started >= len(batch.submitted_s) * interval_s:
            request = waiting.popleft()
            # The time the request was due, not the time it is written: a slow client must not flatter the latency.
            batch.submitted_s[request.id or ""] = started + len(batch.submitted_s) * interval_s
            due.append(request)
        if due:
            self._writer.write(self._records(due))

    def _records(self, requests: Sequence[Request]) -> Iterator[OutgoingRecord]:
        for request in requests:
            key = (request.id or "").encode()
            yield OutgoingRecord(self._settings.requests_topic, key, encode(request))

    def _collect(self, batch: Batch, timeout_s: float) -> int:
        """Add the results that arrive within the time; return how many belong to this batch, duplicates included."""
        count = 0
        for record in self._results.poll(timeout_s):
            result = result_of(record)
            if result is None or result.id not in batch.requests:
                continue
            count += 1
            if result.id in batch.results:
                batch.duplicates += 1
                continue
            batch.results[result.id] = result
            batch.latencies_s[result.id] = time.monotonic() - batch.submitted_s[result.id]
        return count


def result_of(record: Record) -> Result | None:
    """Return a result, or None for a record that another program has written to the topic."""
    try:
        return decode_result(record.value)
    except DECODE_ERRORS:
        log.warning("skipped a record of %s at offset %d, which is no result", record.partition, record.offset)
        return None


@dataclass(frozen=True)
class ResultFilter:
    """Which results to read: those of any of the ids or photos, if there are some, and those that are not `ok`.

    `since_ms` is in milliseconds since the Unix epoch. `from_end` leaves out those that are there already.
    """

    ids: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    failed: bool = False
    since_ms: int | None = None
    from_end: bool = False

    def accepts(self, record: Record) -> bool:
        if not (self.ids or self.images or self.failed):
            return True  # whatever is there, results or not
        try:
            result = decode_result(record.value)
        except DECODE_ERRORS:
            return False
        if self.failed and result.status == "ok":
            return False
        return not (self.ids or self.images) or result.id in self.ids or result.image in self.images


_ALL = ResultFilter()


def read_results(settings: KafkaSettings, follow: bool, wanted: ResultFilter = _ALL) -> Iterator[list[str]]:
    """Yield the committed results, as the JSON texts of one poll at a time, in the order of their partitions.

    Each is one line. Ends with the last result that was there at the start, or with `follow` never. Bytes that are not
    UTF-8 are replaced. Raises NoTopic and BrokerUnavailable.
    """
    topic = settings.results_topic
    with closing(TopicReader(settings, topic, from_end=wanted.from_end, since_ms=wanted.since_ms)) as reader:
        reader.start()
        for records in read_to_end(settings, topic, reader):
            yield _texts(filter(wanted.accepts, records))
        while follow:
            if records := reader.poll(_FOLLOW_POLL_S):
                yield _texts(filter(wanted.accepts, records))


def _texts(records: Iterable[Record]) -> list[str]:
    return [record.value.decode(errors="replace").replace("\n", " ") for record in records]
