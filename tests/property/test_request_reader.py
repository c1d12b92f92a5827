"""Whatever happens to a reader, in whatever order: nothing is left out, nothing comes twice, and nothing stalls."""

from __future__ import annotations

from contextlib import suppress
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from kafka import TopicPartition

from cutstream.clients.kafka import Partition, RequestReader, request_reader
from cutstream.clients.kafka.connection import to_topic_partition
from cutstream.clock import ManualClock
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from tests.support.simulated_consumer import SimulatedBroker, SimulatedConsumer

PARTITIONS = 3
numbers = st.integers(0, PARTITIONS - 1)
polls = st.lists(st.tuples(st.sampled_from([0, 1, 3, 500]), st.booleans()), min_size=1, max_size=8)
"""The limit of each poll, and whether the broker then answers the fetch in flight."""


class SimulatedReader(RequestReader):
    def __init__(self, broker: SimulatedBroker, clock: ManualClock) -> None:
        super().__init__(KafkaSettings(requests_topic=broker.topic), [[broker.topic]], clock)
        self.broker = broker

    def _open_consumer(self) -> SimulatedConsumer:
        return SimulatedConsumer(self.broker, request_reader._Listener(self._gained, self._lost))


class ReaderMachine(RuleBasedStateMachine):
    """`expected` holds the next offset of each partition that the reader owns, as its caller knows it."""

    @initialize()
    def start(self) -> None:
        self.patched = patch.object(request_reader, "_ENOUGH", 4)
        self.patched.start()
        self.broker = SimulatedBroker("requests", [20, 9, 5])
        self.broker.owned = set(self.broker.partitions)
        self.clock = ManualClock()
        self.reader = SimulatedReader(self.broker, self.clock)
        self.reader.start()
        self.expected: dict[Partition, int] = {}
        self.rewinding: set[Partition] = set()

    @rule(number=numbers, count=st.integers(1, 12))
    def write(self, number: int, count: int) -> None:
        self.broker.counts[number] += count

    @rule(polls=polls)
    def poll(self, polls: list[tuple[int, bool]]) -> None:
        for limit, answered in polls:
            self.poll_once(limit)
            if answered:
                self.reader._consumer.answer()

    def poll_once(self, limit: int) -> None:
        polled = self.reader.poll(0.0, limit)
        assert len(polled.records) <= limit
        assert not polled.stalled
        for partition in polled.lost:
            self.expected.pop(partition, None)
        for partition in polled.gained | self.rewinding:
            if partition in self.expected or partition in polled.gained:
                self.expected[partition] = self.committed(partition)
        self.rewinding.clear()
        for record in polled.records:
            assert record.offset == self.expected[record.partition]
            self.expected[record.partition] += 1

    @rule(number=numbers)
    def rewind(self, number: int) -> None:
        partition = Partition("requests", number)
        self.reader.rewind([partition])
        self.rewinding.add(partition)

    @rule(number=numbers, share=st.floats(0, 1))
    def commit(self, number: int, share: float) -> None:
        partition = Partition("requests", number)
        if partition in self.expected and not self.reader._to_rewind and not self.rewinding:
            before = self.committed(partition)
            done = before + int(share * (self.expected[partition] - before))
            self.broker.committed[to_topic_partition(partition)] = done

    @rule(owned=st.sets(numbers))
    def rebalance(self, owned: set[int]) -> None:
        self.broker.owned = {TopicPartition("requests", number) for number in owned}

    @rule(number=numbers, share=st.floats(0, 1))
    def throw_out(self, number: int, share: float) -> None:
        """Another member works on a partition meanwhile. The client takes it back without a call of the listener."""
        self.broker.member_id += "'"
        partition = self.broker.partitions[number]
        before = self.broker.committed.get(partition, 0)
        self.broker.committed[partition] = before + int(share * (self.broker.counts[number] - before))

    @rule(polls=polls)
    def poll_during_a_join(self, polls: list[tuple[int, bool]]) -> None:
        self.broker.stable = False
        self.poll(polls)
        self.broker.stable = True

    @rule(polls=polls)
    def poll_while_committed_offsets_are_unknown(self, polls: list[tuple[int, bool]]) -> None:
        self.broker.answers_offsets = False
        self.poll(polls)
        self.broker.answers_offsets = True

    @rule(polls=polls)
    def poll_while_no_fetch_can_be_sent(self, polls: list[tuple[int, bool]]) -> None:
        self.broker.takes_fetches = False
        for poll in polls:
            with suppress(BrokerUnavailable):
                self.poll([poll])
        self.broker.takes_fetches = True

    @rule(number=numbers, ahead=st.integers(0, 9), polls=polls)
    def poll_while_a_record_is_corrupt(self, number: int, ahead: int, polls: list[tuple[int, bool]]) -> None:
        offset = self.expected.get(Partition("requests", number), 0) + ahead
        self.broker.corrupt = {(number, offset)}
        self.poll(polls)
        self.broker.corrupt.clear()
        self.clock.sleep(60)  # until it is tried again

    def committed(self, partition: Partition) -> int:
        return self.broker.committed.get(to_topic_partition(partition), 0)

    def teardown(self) -> None:
        if not hasattr(self, "reader"):
            return
        self.broker.owned = set(self.broker.partitions)
        for _ in range(20 + sum(self.broker.counts)):
            self.poll([(500, True)])
            self.clock.sleep(60)  # a fetch that was corrupt may be found only now
        self.patched.stop()
        assert [self.expected[Partition("requests", n)] for n in range(PARTITIONS)] == self.broker.counts


TestReader = pytest.mark.logs_errors(ReaderMachine.TestCase)
TestReader.settings = settings(max_examples=60, stateful_step_count=40)
