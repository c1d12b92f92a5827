"""Sends the requests over time, each one once, also while the broker is away."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from cutstream.settings import KafkaSettings
from tests.e2e.chaos.workload import NUMBER_HEADER, Planned

TURN_S = 0.1


class Sender:
    """Sends at `rate` requests a second in a thread of its own. The producer is idempotent and retries by itself.

    `added` counts the requests that were given to it, `sent` those that it has given to the producer.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.rate = 0.0
        self.failures: list[str] = []
        self.added = self.sent = 0
        self._settings = settings
        self._waiting: deque[Planned] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self, requests: Iterable[Planned]) -> None:
        added = list(requests)
        self.added += len(added)
        self._waiting.extend(added)

    @property
    def left(self) -> int:
        return len(self._waiting)

    def _run(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers,
            linger_ms=5,
            metadata_max_age_ms=2000,
            reconnect_backoff_max_ms=500,  # what recovers slowly should be the workers, not this client
            delivery_timeout_ms=300_000,
            max_block_ms=300_000,
        )
        due, before = 0.0, time.monotonic()
        while not self._stop.wait(TURN_S):
            now = time.monotonic()
            # What was not due for lack of requests is not made up for.
            due, before = min(due + (now - before) * self.rate, max(self.rate, 1.0)), now
            while self._waiting and due >= 1:
                self._send(producer, self._waiting.popleft())
                due -= 1
        producer.close(timeout=10)

    def _send(self, producer: KafkaProducer, request: Planned) -> None:
        topics = {"requests": self._settings.requests_topic, "urgent": self._settings.urgent_topic}
        headers = [(NUMBER_HEADER, str(request.number).encode())]
        self.sent += 1
        try:
            future = producer.send(topics[request.topic], key=request.key, value=request.value, headers=headers)
        except KafkaError as exc:  # no broker for a very long time
            self._note_failure(exc)
        else:
            future.add_errback(self._note_failure)

    def _note_failure(self, error: KafkaError) -> None:
        self.failures.append(repr(error))
