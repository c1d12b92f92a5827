from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest

from cutstream.clock import SystemClock
from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError
from cutstream.settings import KafkaSettings
from producer.gateway import stream as module
from producer.gateway.load import Load
from producer.gateway.stream import Stream
from tests.support.group import wait_until


class Broker:
    """Stands in for the question about the lag. `error` is its answer if it is set."""

    error: CutstreamError | None = None

    def __init__(self, settings: KafkaSettings, topics: list[str]) -> None:
        self._topics = topics

    def measure(self) -> Mapping[str, int]:
        if Broker.error is not None:
            raise Broker.error
        return dict.fromkeys(self._topics, 0)

    def close(self) -> None:
        pass


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    """A stream that reads, of which only the thread that measures runs."""
    monkeypatch.setattr(module, "GroupLag", Broker)
    monkeypatch.setattr(module, "_LAG_S", 0.01)
    monkeypatch.setattr(module, "_SILENT_S", 0.2)
    monkeypatch.setattr(Broker, "error", None)
    stream = Stream(KafkaSettings(), Load(SystemClock()), lambda id: False, lambda results, positions: None)
    stream._reading.set()
    thread = threading.Thread(target=stream._measure)
    thread.start()
    yield stream
    stream._stop.set()
    thread.join()


def test_it_is_not_ready_while_kafka_says_nothing(measuring: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer cannot tell a broker that hangs from a topic without new records."""
    assert measuring.ready
    monkeypatch.setattr(Broker, "error", BrokerUnavailable("no answer"))
    wait_until(lambda: not measuring.ready, "it does not notice")
    assert measuring.problem == "no answer"
    monkeypatch.setattr(Broker, "error", None)
    wait_until(lambda: measuring.ready, "it does not notice the end")
    assert not measuring.problem


def test_a_missing_right_is_an_answer(measuring: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "error", ConfigurationError("no right"))
    heard = measuring._heard_s
    wait_until(lambda: measuring._heard_s > heard + 0.3, "it is not taken for an answer")
    assert measuring.ready
