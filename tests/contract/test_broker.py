"""The behaviour of a broker that the worker's loop relies on, for the broker in memory and for a real one."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from cutstream.clients.kafka import (
    CommitRefused,
    OutgoingRecord,
    Partition,
    Polled,
    Record,
    RecordWriter,
    RequestReader,
    TopicReader,
    TransactionalCommitter,
    ensure_topics,
)
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.settings import KafkaSettings
from tests.support.group import committed, join, read, rebalance_soon, throw_out, values, wait_until
from tests.support.memory_broker import MemoryBroker, MemoryCommitter, MemoryReader


class MemorySubject:
    def __init__(self, partitions: int, others: int) -> None:
        self.broker = MemoryBroker(partitions, urgent=others, retry=others)
        self.urgent_topic, self.requests_topic, self.retry_topic = "urgent", "requests", "retry"
        self.results_topic = "results"

    def reader(self) -> MemoryReader:
        return MemoryReader(self.broker)

    def committer(self, transactional_id: str = "") -> MemoryCommitter:
        return MemoryCommitter(self.broker, transactional_id)

    def write(self, records: Sequence[OutgoingRecord]) -> None:
        for record in records:
            self.broker.append(record)

    def committed(self) -> dict[int, int]:
        return {partition.number: offset for partition, offset in self.broker.committed.items()}

    def results(self) -> list[bytes]:
        return sorted(record.value for record in self.broker.read_all(self.results_topic))

    def throw_out(self, member_id: str) -> None:
        self.broker.throw_out(member_id)

    def notify(self, reader: MemoryReader) -> None:
        """Do nothing: a member notices changes of the group at its next poll."""


class KafkaSubject:
    def __init__(self, settings: KafkaSettings, others: int) -> None:
        s = self.settings = settings
        self.urgent_topic, self.requests_topic, self.retry_topic = s.request_topics
        self.results_topic = s.results_topic
        self.ranks = ((s.urgent_topic,), (s.requests_topic, s.retry_topic)) if others else ((s.requests_topic,),)

    def reader(self) -> RequestReader:
        return RequestReader(self.settings, self.ranks)

    def committer(self, transactional_id: str = "") -> TransactionalCommitter:
        return TransactionalCommitter(self.settings.model_copy(update={"transactional_id": transactional_id}))

    def write(self, records: Sequence[OutgoingRecord]) -> None:
        with closing(RecordWriter(self.settings)) as writer:
            writer.start()
            writer.write(records)

    def committed(self) -> dict[int, int]:
        return committed(self.settings)

    def results(self) -> list[bytes]:
        with closing(TopicReader(self.settings, self.results_topic)) as reader:
            reader.start()
            return sorted(values(reader))

    def throw_out(self, member_id: str) -> None:
        throw_out(self.settings, member_id)

    def notify(self, reader: RequestReader) -> None:
        rebalance_soon(reader._consumer)


class Broker:
    """A subject with the steps that several tests share. It closes the clients that it has opened."""

    def __init__(self, subject: Any, stack: ExitStack) -> None:
        self.subject = subject
        self._stack = stack

    def open_reader(self) -> Any:
        return self._open(self.subject.reader())

    def open_committer(self, transactional_id: str = "") -> Any:
        return self._open(self.subject.committer(transactional_id))

    def write(self, count: int, topic: str = "", not_before_s: float = 0.0) -> None:
        """Write `count` requests. Their keys spread them over the partitions."""
        topic = topic or self.subject.requests_topic
        origin = SourceRecord(topic=topic, partition=0, offset=0, timestamp_ms=0)
        history = Redelivery(origin, not_before_ms=int(not_before_s * 1000))
        headers = redelivery_headers([], history) if not_before_s else []
        self.subject.write([OutgoingRecord(topic, b"%d" % n, b"%d" % n, headers) for n in range(count)])

    def partition(self, number: int = 0) -> Partition:
        return Partition(self.subject.requests_topic, number)

    def result(self, value: bytes) -> OutgoingRecord:
        return OutgoingRecord(self.subject.results_topic, None, value)

    def throw_out(self, reader: Any) -> None:
        self.subject.throw_out(reader.membership.member_id)

    def _open(self, client: Any) -> Any:
        client.start()
        self._stack.enter_context(closing(client))
        return client


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def make_broker(request: pytest.FixtureRequest, fresh_name: Callable[[str], str]) -> Iterator[Callable[..., Broker]]:
    """Makes a broker whose requests topic has a given number of partitions.

    The group reads this topic alone, unless `others` is true: then also the urgent and the retry topic, of as many
    partitions.
    """
    with ExitStack() as stack:

        def make(partitions: int, others: bool = False) -> Broker:
            if request.param == "memory":
                return Broker(MemorySubject(partitions, partitions * others), stack)
            names = ("requests_topic", "urgent_topic", "retry_topic")
            settings = request.getfixturevalue("kafka_settings").model_copy(
                update={"partitions": partitions} | {name: fresh_name(name) for name in names}
            )
            ensure_topics(settings)
            return Broker(KafkaSubject(settings, others), stack)

        yield make


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """A broker whose requests topic has one partition, and so one owner."""
    return make_broker(1)


def stale(membership: Any) -> Any:
    return membership._replace(generation_id=membership.generation_id - 1)


def poll_until(condition: Callable[[], object], *readers: Any, max_records: int = 500) -> list[Polled]:
    """Poll until `condition` holds, each reader on a thread of its own as in a worker. Merge each reader's polls."""
    stop = threading.Event()

    def poll(reader: Any) -> list[Polled]:
        polls = []
        while not stop.is_set():
            polls.append(reader.poll(0.1, max_records))
        return polls

    with ThreadPoolExecutor(len(readers)) as threads:
        polling = [threads.submit(poll, reader) for reader in readers]
        try:
            wait_until(condition, "the group does not get there")
        finally:
            stop.set()
    return [merge(future.result()) for future in polling]


def offsets_from(polled: Polled, reader: Any, count: int) -> list[int]:
    """Return the offsets of an earlier poll and of those that follow, at least `count` of them."""
    offsets = [record.offset for record in polled.records]
    return offsets + read(reader, count - len(offsets))


def merge(polls: Sequence[Polled]) -> Polled:
    return Polled(
        [record for polled in polls for record in polled.records],
        frozenset().union(*(polled.gained for polled in polls)),
        frozenset().union(*(polled.lost for polled in polls)),
    )


# -- reading


def test_records_come_in_offset_order_and_none_is_left_out(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(4)
    broker.write(40)
    reader = broker.open_reader()
    records: list[Record] = []
    wait_until(lambda: records.extend(reader.poll(0.1, 7).records) or len(records) == 40, "records are missing")
    offsets = defaultdict(list)
    for record in records:
        offsets[record.partition].append(record.offset)
    assert len(offsets) > 1
    assert all(of_one == [*range(len(of_one))] for of_one in offsets.values())
    assert sorted(int(record.value) for record in records) == [*range(40)]
    assert all(record.key == record.value for record in records)


def test_a_poll_returns_no_more_records_than_allowed(broker: Broker) -> None:
    broker.write(10)
    reader = join(broker.open_reader())
    sizes: list[int] = []
    wait_until(lambda: sizes.append(len(reader.poll(0.1, 3).records)) or sum(sizes) == 10, "records are missing")
    assert max(sizes) == 3


def test_a_partition_without_a_committed_offset_starts_at_its_beginning(broker: Broker) -> None:
    broker.write(3)
    reader = broker.open_reader()
    assert read(reader, 3) == [0, 1, 2]
    broker.write(2)
    assert read(reader, 2) == [3, 4]


def test_a_gained_partition_starts_at_its_committed_offset(broker: Broker) -> None:
    broker.write(10)
    first = broker.open_reader()
    assert read(first, 10) == [*range(10)]
    broker.open_committer().commit([], {broker.partition(): 7}, first.membership)
    first.close()
    second = broker.open_reader()
    (polled,) = poll_until(lambda: second.partitions, second)
    assert polled.gained == {broker.partition()}
    assert offsets_from(polled, second, 3) == [7, 8, 9]


def test_the_end_offset_is_known_after_a_fetch_and_for_owned_partitions_only(broker: Broker) -> None:
    broker.write(3)
    reader = join(broker.open_reader())
    reader.rewind(reader.partitions)
    assert read(reader, 3) == [0, 1, 2]
    assert reader.end_offset(broker.partition()) == 3
    assert reader.end_offset(broker.partition(1)) is None


def test_the_position_is_the_next_record_to_deliver(broker: Broker) -> None:
    broker.write(5)
    reader = join(broker.open_reader())
    assert reader.position(broker.partition(1)) is None
    wait_until(lambda: reader.poll(0.1, 2).records, "nothing is delivered")
    assert reader.position(broker.partition()) == 2
    reader.rewind(reader.partitions)
    assert reader.position(broker.partition()) is None
    assert read(reader, 5) == [*range(5)]
    assert reader.position(broker.partition()) == 5


def test_a_poll_for_nothing_keeps_the_membership_and_every_record(broker: Broker) -> None:
    broker.write(5)
    reader = broker.open_reader()
    (polled,) = poll_until(lambda: reader.partitions and reader.membership, reader, max_records=0)
    before = reader.membership
    assert not any(reader.poll(0.1, 0).records for _ in range(3))
    assert polled.records == []
    assert reader.membership == before
    assert read(reader, 5) == [*range(5)]


# -- the order of partitions


def fetched(broker: Broker, partitions: int, *topics: str) -> Any:
    """Return a reader that has fetched records of all partitions of the topics, and delivered none."""
    reader = broker.open_reader()
    expected = [Partition(topic, number) for topic in topics for number in range(partitions)]
    wait_until(lambda: reader.poll(0.1, 0) and all(map(reader.end_offset, expected)), "records are missing")
    return reader


def test_partitions_take_turns(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(2)
    broker.write(40)
    reader = fetched(broker, 2, broker.subject.requests_topic)
    for _ in range(2):
        polls = (reader.poll(0.1, 6).records for _ in range(100))  # an empty one if the group settles anew just then
        numbers = [record.partition.number for record in next(filter(None, polls))]
        assert numbers in ([0, 1] * 3, [1, 0] * 3)


def test_a_held_partition_delivers_nothing_and_the_others_go_on(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(2)
    broker.write(40)
    reader = fetched(broker, 2, broker.subject.requests_topic)
    held = {broker.partition(1)}
    began = time.monotonic()
    numbers = {record.partition.number for _ in range(3) for record in reader.poll(0.5, 100, held).records}
    assert numbers == {0}
    assert time.monotonic() - began >= 0.9, "a poll with nothing to deliver did not wait"
    assert {record.partition.number for record in reader.poll(0.1, 100).records} == {1}


def test_urgent_requests_come_first(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(1, others=True)
    subject = broker.subject
    topics = (subject.requests_topic, subject.retry_topic, subject.urgent_topic)
    for topic in topics:
        broker.write(3, topic)
    reader = fetched(broker, 1, *topics)
    order = [record.partition.topic for record in reader.poll(0.1, 5).records + reader.poll(0.1, 9).records]
    assert order[:3] == [subject.urgent_topic] * 3
    assert sorted(order[3:5]) == sorted(order[5:7]) == sorted(order[7:9]) == sorted(topics[:2])


def test_a_retry_that_is_not_due_holds_its_own_partition_only(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(1, others=True)
    due_s = int(time.time()) + 3
    broker.write(1, broker.subject.retry_topic, not_before_s=due_s)
    broker.write(1, broker.subject.retry_topic)
    broker.write(2)
    reader = broker.open_reader()
    records: list[Record] = []
    wait_until(lambda: records.extend(reader.poll(0.1, 500).records) or len(records) == 2, "requests are missing")
    assert {record.partition.topic for record in records} == {broker.subject.requests_topic}
    assert time.time() < due_s, "this machine is too slow for this test to prove something"
    wait_until(lambda: records.extend(reader.poll(5.0, 500).records) or len(records) == 4, "retries are missing")
    assert time.time() >= due_s
    assert [(record.partition, record.offset) for record in records[2:]] == [
        (Partition(broker.subject.retry_topic, 0), offset) for offset in range(2)
    ]


def test_only_the_retry_topic_may_hold_a_partition(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(1, others=True)
    for topic in (broker.subject.requests_topic, broker.subject.urgent_topic):
        broker.write(1, topic, not_before_s=time.time() + 3600)
    assert read(broker.open_reader(), 2) == [0, 0]


# -- rewinding


def test_a_rewind_returns_to_the_committed_offset(broker: Broker) -> None:
    broker.write(5)
    reader = broker.open_reader()
    assert read(reader, 5) == [*range(5)]
    broker.open_committer().commit([], {broker.partition(): 2}, reader.membership)
    reader.rewind(reader.partitions)
    assert reader.poll(0.1, 500).records == []
    assert read(reader, 3) == [2, 3, 4]


def test_a_rewind_without_a_committed_offset_returns_to_the_beginning(broker: Broker) -> None:
    broker.write(5)
    reader = broker.open_reader()
    assert read(reader, 5) == [*range(5)]
    reader.rewind(reader.partitions)
    assert reader.poll(0.1, 500).records == []
    assert read(reader, 5) == [*range(5)]


# -- committing


def test_records_and_offsets_are_committed_together(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(2)
    broker.write(20)
    reader, committer = join(broker.open_reader()), broker.open_committer()
    for number in range(3):
        offsets = {broker.partition(0): number + 1, broker.partition(1): number + 2}
        committer.commit([broker.result(b"%d" % number)], offsets, reader.membership)
    assert broker.subject.committed() == {0: 3, 1: 4}
    assert broker.subject.results() == [b"0", b"1", b"2"]


def test_a_commit_of_an_earlier_generation_is_refused_and_publishes_nothing(make_broker) -> None:
    broker = make_broker(2)
    reader, committer = join(broker.open_reader()), broker.open_committer()
    with pytest.raises(CommitRefused):
        committer.commit([broker.result(b"stale")], {broker.partition(1): 5}, stale(reader.membership))
    assert broker.subject.committed() == {}
    committer.commit([broker.result(b"good")], {broker.partition(0): 2}, reader.membership)
    assert broker.subject.committed() == {0: 2}
    assert broker.subject.results() == [b"good"]


def test_a_member_that_was_thrown_out_commits_nothing_and_starts_again(broker: Broker) -> None:
    broker.write(3)
    reader, committer = broker.open_reader(), broker.open_committer()
    assert read(reader, 3) == [0, 1, 2]
    before = reader.membership
    broker.throw_out(reader)
    with pytest.raises(CommitRefused):
        committer.commit([broker.result(b"zombie")], {broker.partition(): 3}, before)
    broker.subject.notify(reader)
    (polled,) = poll_until(lambda: reader.membership and reader.membership.member_id != before.member_id, reader)
    assert polled.gained == {broker.partition()}
    assert offsets_from(polled, reader, 3) == [0, 1, 2]
    committer.commit([broker.result(b"again")], {broker.partition(): 3}, reader.membership)
    assert broker.subject.committed() == {0: 3}
    assert broker.subject.results() == [b"again"]


def test_a_newer_committer_with_the_same_id_fences_the_older_one(
    broker: Broker, fresh_name: Callable[[str], str]
) -> None:
    reader, name = join(broker.open_reader()), fresh_name("shared")
    older, newer = broker.open_committer(name), broker.open_committer(name)
    with pytest.raises(CommitRefused):
        older.commit([broker.result(b"older")], {broker.partition(): 99}, reader.membership)
    older.close()
    newer.commit([broker.result(b"newer")], {broker.partition(): 1}, reader.membership)
    assert broker.subject.committed() == {0: 1}
    assert broker.subject.results() == [b"newer"]


# -- the group


def test_there_is_no_membership_before_a_member_has_joined(broker: Broker) -> None:
    reader = broker.open_reader()
    assert reader.membership is None
    assert reader.partitions == frozenset()
    assert join(reader).membership.member_id


def test_there_is_no_membership_until_every_member_has_joined(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(2)
    first, second = join(broker.open_reader()), broker.open_reader()
    for _ in range(5):
        second.poll(0.1, 1)
        assert second.membership is None
        assert second.partitions == frozenset()
    broker.subject.notify(first)

    def both_are_members_of_one_generation() -> bool:
        # Read once: a further rebalance may take a membership away between two looks at it.
        memberships = [reader.membership for reader in (first, second)]
        return None not in memberships and len({member.generation_id for member in memberships}) == 1

    poll_until(both_are_members_of_one_generation, first, second)


def test_a_second_member_takes_partitions_over(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(2)
    broker.write(20)
    first, committer = broker.open_reader(), broker.open_committer()
    assert len(read(first, 20)) == 20
    before = first.membership
    committer.commit([], {broker.partition(0): 2, broker.partition(1): 2}, before)
    second = broker.open_reader()
    second.poll(0.1, 0)
    broker.subject.notify(first)
    of_first, of_second = poll_until(
        lambda: second.partitions and first.membership and second.membership, first, second, max_records=0
    )
    assert of_second.gained == second.partitions
    assert of_first.lost >= second.partitions
    assert first.partitions | second.partitions == {broker.partition(0), broker.partition(1)}
    assert not first.partitions & second.partitions
    with pytest.raises(CommitRefused):
        committer.commit([broker.result(b"late")], {broker.partition(0): 9}, before)
    assert read(second, 1)[0] == 2
    assert broker.subject.results() == []


def test_a_member_that_leaves_hands_over_at_once(broker: Broker) -> None:
    broker.write(4)
    first, second = broker.open_reader(), broker.open_reader()
    assert read(first, 4) == [0, 1, 2, 3]
    broker.open_committer().commit([], {broker.partition(): 1}, first.membership)
    first.close()
    assert read(second, 3) == [1, 2, 3]
