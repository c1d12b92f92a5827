"""The requests that were called off: this worker's copy of the topic of cancellations."""

from __future__ import annotations

from collections.abc import Mapping

from consumer.intake.identity import Identity, identify
from consumer.jobs import Job
from consumer.resources.topic_copy import TopicCopy
from cutstream.clients.kafka import Record
from cutstream.clock import Clock
from cutstream.contract.cancellations import Cancellation, CancellationIndex, apply
from cutstream.errors import BrokerUnavailable, Cancelled
from cutstream.settings import KafkaSettings

_START_TIMEOUT_S = 5.0


class Cancellations:
    """Refuses requests that were called off. Thread-safe."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._clock = clock
        self._index = CancellationIndex()
        self._started = False
        self._copy: TopicCopy[Cancellation] = TopicCopy(
            settings, settings.cancellations_topic, "cancellations", apply, self._update
        )

    def begin(self) -> None:
        """Begin to read the topic, and return at once."""
        if not self._started:
            self._started = True
            self._copy.start()

    def start(self) -> None:
        """Return once the topic has been read, because a request must not slip through before that.

        Raises ConfigurationError if the topic cannot be read, and BrokerUnavailable if that takes long: call it again.
        """
        self.begin()
        self._copy.wait(_START_TIMEOUT_S)
        if self.ready:
            return
        raise self._copy.refusal or BrokerUnavailable("the cancellations have not been read yet")

    @property
    def ready(self) -> bool:
        """True once everything the topic held at its opening has been read, and no record of it is unreadable."""
        return self._copy.entries is not None and not self._copy.unreadable

    def refuse_record(self, record: Record) -> None:
        """Raise Cancelled if the request in this record was called off, even if it is not a valid one."""
        if self._index:
            self.refuse(identify(record))

    def refuse(self, request: Job | Identity) -> None:
        """Raise Cancelled if the request was called off after it was first written."""
        found = self._index.find(request.id, request.labels, request.origin.timestamp_ms, self._clock.wall())
        if found:
            what = f"id {found.id}" if found.id else ", ".join(f"{k}={v}" for k, v in found.labels.items())
            raise Cancelled(f"cancelled at {found.cancelled.isoformat(timespec='seconds')} ({what})")

    def close(self) -> None:
        self._copy.close()

    def _update(self, cancellations: Mapping[str, Cancellation]) -> None:
        self._index = CancellationIndex(cancellations.values())
