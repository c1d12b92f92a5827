from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaTimeoutError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from cutstream.clients.kafka import Partition, RequestReader, request_reader
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from tests.support.simulated_consumer import SimulatedBroker, SimulatedConsumer

TP = TopicPartition("cutout.requests", 0)


class Coordinator(ConsumerCoordinator):
    """The client's coordinator, with a broker that answers with `committed` after `delay_s`."""

    def __init__(self) -> None:
        self._net = NetworkSelector()
        self._manager = self
        self.config = {"retry_backoff_ms": 10}
        self._offset_fetch_futures = {}
        self.committed, self.delay_s = 10, 0.2

    def __del__(self) -> None:
        """The client's own needs a connection."""

    def call_soon(self, *call):
        return self._net.call_soon_with_future(*call)

    async def wait_for(self, future, timeout_ms):
        return await KafkaConnectionManager.wait_for(self, future, timeout_ms)

    async def ensure_coordinator_ready_async(self, timeout_ms=None) -> bool:
        return True

    async def _send_offset_fetch_request(self, partitions):
        answer = {tp: OffsetAndMetadata(self.committed, "", -1) for tp in partitions}
        await self._net.sleep(self.delay_s)
        return answer

    def ask(self, timeout_ms: int) -> int:
        return self.fetch_committed_offsets([TP], timeout_ms=timeout_ms)[TP].offset

    def rest(self, seconds: float) -> None:
        self._net.run(self._net.sleep, seconds)


class Consumer:
    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator


class JoinedReader(RequestReader):
    """A reader that owns TP, with a broker in memory."""

    def __init__(self) -> None:
        super().__init__(KafkaSettings(), [[TP.topic]])
        self.broker = SimulatedBroker(TP.topic, [20], committed={TP: 10}, owned={TP})

    def _open_consumer(self) -> SimulatedConsumer:
        return SimulatedConsumer(self.broker, request_reader._Listener(self._gained, self._lost))


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    coordinator = Coordinator()
    yield coordinator
    coordinator._net.close()


@pytest.mark.parametrize("rewound", [False, True])
def test_an_answer_that_was_given_up_is_not_taken_for_a_later_one(coordinator: Coordinator, rewound: bool) -> None:
    """Trap 11, and its guard. If the first case fails, this client does not need the guard any more."""
    with pytest.raises(KafkaTimeoutError):
        coordinator.ask(50)
    coordinator.rest(0.3)  # the answer comes, and nobody takes it
    coordinator.committed = 80  # by the partition's next owner
    if rewound:
        reader = RequestReader(KafkaSettings(), [[TP.topic]])
        reader._consumer = Consumer(coordinator)
        reader.rewind([Partition(TP.topic, TP.partition)])
    assert coordinator.ask(2000) == (80 if rewound else 10)


def test_a_poll_asks_for_committed_offsets_for_a_second_at_most_and_not_while_it_joins(monkeypatch) -> None:
    reader = JoinedReader()
    reader.start()
    reader.poll(0.0, 1)
    asked_ms: list[int] = []

    def no_answer(tp: TopicPartition, timeout_ms: int) -> int:
        asked_ms.append(timeout_ms)
        raise KafkaTimeoutError("no answer")

    monkeypatch.setattr(reader._consumer, "committed", no_answer)
    reader.rewind(reader.partitions)
    reader.broker.stable = False
    reader.poll(0.0, 1)
    assert asked_ms == []
    reader.broker.stable = True
    reader.poll(0.0, 1)
    assert asked_ms == [1_000]
    monkeypatch.undo()
    reader.poll(0.0, 1)
    assert reader.position(Partition(*TP)) == 10


def test_a_commit_with_a_client_that_was_closed_may_be_tried_again() -> None:
    """As when the reader opens a new client while a commit of `at_least_once` is under way."""
    net = NetworkSelector()
    net.close()
    reader = RequestReader(KafkaSettings(), [[TP.topic]])
    reader._consumer = SimpleNamespace(commit=lambda offsets, timeout_ms: net.run(net.sleep, 0))
    with pytest.raises(BrokerUnavailable, match="closed"):
        reader.commit({Partition(*TP): 1})
