"""Submits requests and follows them to their results: the demo's and the benchmark's way through the system."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader
from cutstream.contract.messages import Request, Result, decode_result, encode
from cutstream.errors import CutstreamError
from cutstream.settings import KafkaSettings


class NoProgress(CutstreamError):
    """No result for a long time: the worker, Triton or the broker is not doing its part."""

    code = "no_progress"


@dataclass
class Batch:
    """Requests by id, and what came back. Times are seconds of this process's monotonic clock."""

    requests: dict[str, Request]
    results: dict[str, Result] = field(default_factory=dict)
    submitted_s: dict[str, float] = field(default_factory=dict)
    latencies_s: dict[str, float] = field(default_factory=dict)
    duplicates: int = 0
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        return len(self.results) / self.seconds if self.seconds else 0.0

    def count(self, status: str) -> int:
        return sum(result.status == status for result in self.results.values())

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the results stayed within; nearest rank."""
        ordered = sorted(self.latencies_s.values())
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000 if ordered else 0.0


class Submission:
    """Reads results from before the first request is written, so none is missed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._writer = RecordWriter(settings)
        self._results = TopicReader(settings, settings.results_topic, from_end=True)

    def __enter__(self) -> Submission:
        self._results.start()
        self._writer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()
        self._results.close()

    def run(
        self,
        requests: Sequence[Request],
        *,
        interval_s: float = 0.0,
        in_flight: int | None = None,
        patience_s: float = 120.0,
        watch: Callable[[Batch], None] = lambda batch: None,
    ) -> Batch:
        """Returns when every request has its result; `watch` is called often, and may raise to stop.

        All at once, or one every `interval_s` whether results come or not (an open loop); with `in_flight`, no more
        than so many without a result, and latencies hold the wait for room. Every request needs an id.
        Raises NoProgress when no result comes for `patience_s`.
        """
        batch = Batch({request.id: request for request in requests if request.id})
        waiting = deque(requests)
        begun = last = time.monotonic()
        while len(batch.results) < len(batch.requests):
            room = math.inf if in_flight is None else in_flight - (len(batch.submitted_s) - len(batch.results))
            self._write_due(batch, waiting, begun, interval_s, room)
            if self._collect(batch, min(0.1, interval_s or 0.1)):
                last = time.monotonic()
            elif time.monotonic() - last > patience_s:
                missing = len(batch.requests) - len(batch.results)
                raise NoProgress(f"{missing} of {len(batch.requests)} requests have no result after {patience_s:g} s")
            watch(batch)
        batch.seconds = last - begun
        self._collect(batch, 0.5)  # a second result for one of them would come now
        return batch

    def _write_due(self, batch: Batch, waiting: deque[Request], begun: float, interval_s: float, room: float) -> None:
        due: list[Request] = []
        while waiting and len(due) < room and time.monotonic() - begun >= len(batch.submitted_s) * interval_s:
            request = waiting.popleft()
            # The time it was due, not the time we got round to it: a slow client must not flatter the latency.
            batch.submitted_s[request.id or ""] = begun + len(batch.submitted_s) * interval_s
            due.append(request)
        if due:
            self._writer.write(self._records(due))

    def _records(self, requests: Sequence[Request]) -> Iterator[OutgoingRecord]:
        for request in requests:
            key = (request.id or "").encode()
            yield OutgoingRecord(self._settings.requests_topic, key, encode(request))

    def _collect(self, batch: Batch, timeout_s: float) -> int:
        mine = 0
        for record in self._results.poll(timeout_s):
            result = decode_result(record.value)
            if result.id not in batch.requests:
                continue
            mine += 1
            if result.id in batch.results:
                batch.duplicates += 1
                continue
            batch.results[result.id] = result
            batch.latencies_s[result.id] = time.monotonic() - batch.submitted_s[result.id]
        return mine
