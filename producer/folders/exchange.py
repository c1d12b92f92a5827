"""Send what the ledger has, and note what comes back: the exchange with the workers.

Each job is written once, whenever this program is killed: the ledger knows a job as `sending` before it is written, and
the next exchange looks on the topic whether it was. Results are read from where the last exchange stopped.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.contract.messages import Request, Result, encode
from cutstream.errors import ConfigurationError, CutstreamError
from cutstream.settings import KafkaSettings
from producer.following import result_of
from producer.ledger import Job, Ledger, Outcome
from producer.reading import read_to_end

log = logging.getLogger(__name__)

MAX_BATCH = 500
LEAST_IN_FLIGHT = 256
MOST_IN_FLIGHT = 10_000
_QUEUE_S = 20.0  # others who send meanwhile wait for no more than this much of our work
_RATE_OVER_S = 10.0

Settle = Callable[[Sequence[tuple[Job, Result]]], list[Outcome]]


class Exchange:
    """A context manager over a ledger that has begun a run on this stream. One thread uses it.

    Requests go to `topic`, which ended at `ends` a moment ago. `request_of` makes a job's request; an error that it
    raises is the job's outcome. `settle` takes jobs with their results, and returns their outcomes once their outputs
    are where they belong. `in_flight` bounds the jobs without result; None: about 20 seconds' work.

    With `wait` the user must have the right to read results. Without it, one who has not may still send: then nothing
    bounds what is in flight, and the ledger learns of no result.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        ledger: Ledger,
        request_of: Callable[[Job], Request],
        settle: Settle,
        topic: str,
        ends: Mapping[int, int],
        in_flight: int | None = None,
        wait: bool = True,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._request_of = request_of
        self._settle = settle
        self._topic = topic
        self._ends = ends
        self._fixed = in_flight
        self._wait = wait
        self._rate = _Rate()
        self._writer = RecordWriter(settings)
        self._reader: TopicReader | None = None

    def __enter__(self) -> Exchange:
        try:
            self._start_reading()
            if doubtful := self._ledger.doubtful():
                self._ledger.resolve(self._written(doubtful))
            self._ledger.note_positions(self._topic, self._ends)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._writer.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _start_reading(self) -> None:
        """Read the results from where the last exchange stopped, or from now on if none is awaited."""
        topic = self._settings.results_topic
        known = self._ledger.positions(topic) if self._ledger.needs_results else {}
        reader = self._reader = TopicReader(self._settings, topic, from_end=not known, positions=known)
        try:
            reader.start()
        except ConfigurationError as exc:
            if self._wait:
                raise
            log.warning("cannot read results (%s): all photos are sent at once, and how they end stays unknown", exc)
            reader.close()
            self._reader = None
            return
        if known:
            for records in read_to_end(self._settings, topic, reader):
                self._note(records)
        self._ledger.note_positions(topic, reader.next_offsets())

    def _written(self, doubtful: set[str]) -> set[str]:
        """Return which of these jobs are on the topic. They would be behind what was known to be written."""
        found: set[str] = set()
        for topic in (self._settings.requests_topic, self._settings.urgent_topic):
            if not (known := self._ledger.positions(topic)):
                continue
            try:
                with closing(TopicReader(self._settings, topic, positions=known)) as reader:
                    reader.start()
                    for records in read_to_end(self._settings, topic, reader):
                        found |= {id for id in map(_key_of, records) if id in doubtful}
            except ConfigurationError as exc:
                log.warning(
                    "cannot tell which of %d requests an earlier command has written (%s): they may be done twice",
                    len(doubtful),
                    exc,
                )
        return found

    @property
    def limit(self) -> int:
        """Most jobs without a result: `in_flight`, or what about 20 s take at the rate of the last results."""
        if self._reader is None:
            return self._ledger.waiting + MAX_BATCH
        if self._fixed is not None:
            return self._fixed
        return min(MOST_IN_FLIGHT, max(LEAST_IN_FLIGHT, int(self._rate.per_second() * _QUEUE_S)))

    def send(self) -> list[Job]:
        """Write the next jobs, unless enough are in flight. Return those that the brokers have now."""
        limit, waiting = self.limit, self._ledger.waiting
        if waiting and limit - waiting < min(limit // 4, MAX_BATCH):
            return []  # few large batches
        jobs = self._ledger.take(min(MAX_BATCH, limit - waiting))
        records: list[OutgoingRecord] = []
        written: list[Job] = []
        failed: list[Outcome] = []
        for job in jobs:
            try:
                request = self._request_of(job)
            except CutstreamError as exc:
                failed.append(Outcome(job.id, job.replay, "failed", exc.code, str(exc)))
                continue
            records.append(OutgoingRecord(self._topic, job.id.encode(), encode(request)))
            written.append(job)
        if records:
            ends = self._writer.write(records)
            positions = {p.number: offset for p, offset in ends.items() if p.topic == self._topic}
            self._ledger.note_sent(written, self._topic, positions)
        if failed:
            self._ledger.settle(failed)
        return written

    def collect(self, timeout_s: float) -> int:
        """Note the results that arrive in time. Return how many of them belong to the ledger's jobs."""
        if self._reader is None:
            time.sleep(timeout_s)
            return 0
        return self._note(self._reader.poll(timeout_s))

    def _note(self, records: Sequence[Record]) -> int:
        assert self._reader is not None
        ours = [(job, result) for result in map(result_of, records) if result for job in self._jobs_of(result)]
        if ours:
            # The outputs are in their places before the ledger says so: a command that is killed between does it again.
            self._ledger.settle(self._settle(ours), self._settings.results_topic, self._reader.next_offsets())
            self._rate.add(len(ours))
        return len(ours)

    def _jobs_of(self, result: Result) -> list[Job]:
        """Return the job that a result is for, unless it was noted before."""
        job = self._ledger.find(result.id)
        if job is None or result.replay < job.replay:
            return []
        return [] if result.replay == job.replay and job.state in ("ok", "failed") else [job]


class _Rate:
    """Results per second, over the last ten seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        self._counts.append((self._now(), count))

    def per_second(self) -> float:
        oldest = self._now() - _RATE_OVER_S
        while self._counts and self._counts[0][0] < oldest:
            self._counts.popleft()
        return sum(count for _, count in self._counts) / _RATE_OVER_S


def settle_in_bucket(pairs: Sequence[tuple[Job, Result]]) -> list[Outcome]:
    """Return the outcomes of results whose outputs stay where the worker has stored them."""
    return [_outcome(job, result) for job, result in pairs]


def _outcome(job: Job, result: Result) -> Outcome:
    if result.error is not None:
        return Outcome(job.id, result.replay, "failed", result.error.code, result.error.message)
    return Outcome(job.id, result.replay, "ok", outputs=tuple(stored.uri for stored in result.objects))


def _key_of(record: Record) -> str:
    return (record.key or b"").decode(errors="replace")
