"""What happens meanwhile: results as they are committed, and the offsets of every partition, with times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from cutstream.clients.kafka import Partition, TopicReader
from cutstream.contract.messages import decode_result
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings

SAMPLE_S = 1.0


@dataclass(frozen=True)
class Lag:
    """The committed offset of a partition, and its end."""

    committed: int
    end: int


@dataclass(frozen=True)
class Sample:
    at_s: float
    lags: dict[Partition, Lag]


@dataclass
class Observer:
    """Follows the run in two threads. Times are of the monotonic clock. It survives a broker that is away.

    `arrivals_s` has the time of each request's first result, `finished_s` of those that are `ok`.
    """

    settings: KafkaSettings
    arrivals_s: list[float] = field(default_factory=list)
    finished_s: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._seen: set[tuple[str, int, int]] = set()
        self._threads = [threading.Thread(target=target) for target in (self._follow_results, self._sample_lags)]

    def __enter__(self) -> Observer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def done(self) -> int:
        """The number of requests that have a result. A second result does not count."""
        return len(self.arrivals_s)

    def arrived_between(self, start_s: float, end_s: float) -> int:
        return sum(start_s < at <= end_s for at in reversed(self.arrivals_s))

    def wait(self, reached: Callable[[], bool], timeout_s: float, tick: Callable[[], None] = lambda: None) -> bool:
        """Wait until `reached`, calling `tick` meanwhile. Return False on the time-out."""
        deadline = time.monotonic() + timeout_s
        while not reached():
            if time.monotonic() > deadline:
                return False
            tick()
            time.sleep(0.05)
        return True

    def wait_done(self, count: Callable[[], int], stall_s: float, tick: Callable[[], None]) -> bool:
        """Wait for `count` results. Return False when none has arrived for `stall_s`."""
        while self.done < count():
            before = self.done
            if not self.wait(lambda before=before: self.done > before, stall_s, tick):  # type: ignore[misc]
                return False
        return True

    def _follow_results(self) -> None:
        reader = TopicReader(self.settings, self.settings.results_topic)
        reader.start()
        while not self._stop.is_set():
            try:
                records = reader.poll(0.1)
            except BrokerUnavailable:
                self._stop.wait(0.2)
                continue
            now = time.monotonic()
            for record in records:
                result = decode_result(record.value)
                source = result.source
                origin = (source.topic, source.partition, source.offset)
                if origin not in self._seen:
                    self._seen.add(origin)
                    self.arrivals_s.append(now)
                    if result.status == "ok":
                        self.finished_s.append(now)
        reader.close()

    def _sample_lags(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            group_id=self.settings.group,
            enable_auto_commit=False,
            metadata_max_age_ms=2000,
        )
        while not self._stop.wait(SAMPLE_S):
            try:
                lags = read_lags(consumer, self.settings)
            except KafkaError:
                continue
            self.samples.append(Sample(time.monotonic(), lags))
        consumer.close()


def read_lags(consumer: KafkaConsumer, settings: KafkaSettings) -> dict[Partition, Lag]:
    """Return committed offset and end of every partition that workers read."""
    partitions = [
        TopicPartition(topic, number)
        for topic in settings.request_topics
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    ends = consumer.end_offsets(partitions)
    return {Partition(tp.topic, tp.partition): Lag(consumer.committed(tp) or 0, ends[tp]) for tp in partitions}
