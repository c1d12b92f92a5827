"""A stream without Kafka, for a gateway in unit tests: it answers what is written as a worker would, from memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from cutstream.clients.kafka import OutgoingRecord
from cutstream.contract.messages import Request, Result, decode_request
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from producer.gateway.load import Load
from producer.gateway.stream import Stream


class FakeStream(Stream):
    """Hands each request to `answer`, on a thread, and delivers what that returns."""

    def __init__(
        self, settings: KafkaSettings, load: Load, is_known: Callable[[str], bool], on_results: Callable[..., Any]
    ) -> None:
        super().__init__(settings, load, is_known, on_results)
        self.records: list[OutgoingRecord] = []
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Result | None] = lambda request: None
        self.away = False
        self.load = load
        self._answers: list[threading.Thread] = []

    def start(self, positions: Mapping[int, int]) -> None:
        self.problem = ""
        self._reading.set()

    def write(self, records: Sequence[OutgoingRecord]) -> Future[None]:
        done: Future[None] = Future()
        if self.away:
            done.set_exception(BrokerUnavailable("Kafka: away"))
            return done
        self.records += records
        done.set_result(None)
        requests = [r for r in records if r.topic in (self._settings.urgent_topic, self._settings.requests_topic)]
        if requests:
            thread = threading.Thread(target=self._answer, args=(requests,))
            thread.start()
            self._answers.append(thread)
        return done

    def deliver(self, result: Result) -> None:
        if self._is_known(result.id):
            self._on_results([result], {0: len(self.records)})

    def close(self) -> None:
        for thread in self._answers:
            thread.join()

    def _answer(self, records: Sequence[OutgoingRecord]) -> None:
        for record in records:
            request = decode_request(record.value or b"")
            self.requests.append(request)
            if (result := self.answer(request)) is not None:
                self.deliver(result)
