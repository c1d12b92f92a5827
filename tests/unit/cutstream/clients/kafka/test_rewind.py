from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaTimeoutError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from cutstream.clients.kafka import Partition, RequestReader
from cutstream.settings import KafkaSettings

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
