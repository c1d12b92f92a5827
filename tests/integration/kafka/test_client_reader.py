"""Reading requests and topics from a real broker: after a change of members, and during a join."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle

import confluent_kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CorruptRecordError, KafkaError, KafkaTimeoutError
from kafka.record.default_records import DefaultRecordBatch
from kafka.structs import MemberState

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
    TransactionalWriter,
    UnreadableRecords,
    delete_records,
    ensure_topics,
    map_kafka_errors,
    request_reader,
)
from cutstream.clients.kafka.record_batches import MAX_BATCH_BYTES
from cutstream.errors import BrokerUnavailable, ConfigurationError
from tests.support.batches_by_hand import SHAPES, produce
from tests.support.group import (
    TIMEOUT_S,
    add_partitions,
    commit_as_another_member,
    committed,
    delete_topics,
    join,
    read,
    rebalance_soon,
    requests_reader,
    throw_out,
    values,
    wait_until,
    write,
)

pytestmark = pytest.mark.kafka


def raw_member(settings, **options) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[CooperativeStickyAssignor],
        **options,
    )


def raw_joined(settings, **options) -> KafkaConsumer:
    consumer = raw_member(settings, **options)
    consumer.subscribe([settings.requests_topic])
    while not (consumer.assignment() and state(consumer) is MemberState.STABLE):
        poll_joining(consumer)
    return consumer


def poll_joining(consumer: KafkaConsumer) -> None:
    """Poll. Keep a join going that may stall otherwise, as tested below."""
    consumer.poll(100)
    if state(consumer) is MemberState.REBALANCING:
        rebalance_soon(consumer)


def write_to_partitions(settings, opened, counts) -> None:
    """Write so many requests to each partition, each as one batch of records."""
    producer = opened(KafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=200))
    for number, count in counts.items():
        for _ in range(count):
            producer.send(settings.requests_topic, b"", partition=number)
    producer.flush()


def state(consumer: KafkaConsumer) -> MemberState:
    return consumer.group_metadata().state


def generation(consumer: KafkaConsumer) -> int:
    return consumer.group_metadata().generation_id


def join_between_polls(consumer: KafkaConsumer, poll) -> None:
    """Begin a join in a poll without time, and let the broker answer it while nobody polls."""
    before = consumer._coordinator._join_task

    def begun() -> bool:
        poll()
        return consumer._coordinator._join_task not in (None, before)

    wait_until(begun, "does not join again")
    wait_until(lambda: consumer._coordinator._join_task.is_done, "the broker does not answer the request to join")


def poll_until_assigned(consumer: KafkaConsumer) -> None:
    for _ in range(50):
        consumer.poll(100)


def test_a_member_thrown_out_and_back_reads_again_from_the_committed_offset(one_partition, opened) -> None:
    write(one_partition, 10)
    reader = opened(requests_reader(one_partition))
    assert read(reader, 10) == [*range(10)]
    before = reader.membership
    throw_out(one_partition, before.member_id)
    commit_as_another_member(one_partition, 7)
    rebalance_soon(reader._consumer)
    assert read(reader, 3) == [7, 8, 9]
    assert reader.membership.member_id != before.member_id


def test_the_end_of_a_partition_that_went_to_another_member_is_unknown(one_partition, opened) -> None:
    """A transaction may finish after the rebalance that moved its partition."""
    write(one_partition, 3)
    reader = opened(requests_reader(one_partition))
    read(reader, 3)
    mine = Partition(one_partition.requests_topic, 0)
    assert reader.end_offset(mine) == 3
    assert reader.end_offset(Partition(one_partition.requests_topic, 1)) is None
    reader._consumer.unsubscribe()
    assert reader.end_offset(mine) is None


def test_a_member_thrown_out_and_back_gains_its_partitions_so_that_unfinished_work_is_dropped(
    one_partition, opened
) -> None:
    reader = join(opened(requests_reader(one_partition)))
    before = reader.membership.member_id
    throw_out(one_partition, before)
    rebalance_soon(reader._consumer)
    gained: set[Partition] = set()
    while reader.membership is None or reader.membership.member_id == before:
        gained |= reader.poll(0.1, 1).gained
    assert gained == {Partition(one_partition.requests_topic, 0)}


def test_the_client_itself_keeps_its_position_and_does_not_call_the_listener(one_partition, opened) -> None:
    """This is the reason for the guard that two tests above check."""
    write(one_partition, 10)
    partition = TopicPartition(one_partition.requests_topic, 0)
    calls: list[str] = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            calls.append("assigned")

        def on_partitions_revoked(self, revoked):
            calls.append("revoked")

    consumer = opened(raw_member(one_partition))
    consumer.subscribe([one_partition.requests_topic], listener=Listener())
    while partition not in consumer.assignment() or consumer.position(partition) < 10:
        poll_joining(consumer)
    calls.clear()
    before = consumer.group_metadata().member_id
    throw_out(one_partition, before)
    commit_as_another_member(one_partition, 7)
    rebalance_soon(consumer)
    while partition not in consumer.assignment() or consumer.group_metadata().member_id == before:
        poll_joining(consumer)
    assert (consumer.position(partition), calls) == (10, []), (
        "this version of kafka-python notices by itself: the guard against trap 2 of cutstream/clients/kafka/ may go"
    )


def test_the_client_refuses_blocking_calls_in_its_listener(one_partition, opened) -> None:
    """This is the reason why the product's listener only notes the change."""
    consumer = opened(raw_member(one_partition))

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            # The first assignment may be empty, if the client does not know the topic yet.
            consumer.committed(TopicPartition(one_partition.requests_topic, 0))

        def on_partitions_revoked(self, revoked):
            """Do nothing."""

    consumer.subscribe([one_partition.requests_topic], listener=Listener())
    # If a new version allows it, the guard against trap 3 of cutstream/clients/kafka/ may go.
    with pytest.raises(KafkaError) as refused:
        poll_until_assigned(consumer)
    assert "IO thread" in str(refused.value.__cause__)


def test_a_join_for_new_partitions_is_finished_although_polls_had_no_time(one_partition, opened, monkeypatch) -> None:
    monkeypatch.setattr(request_reader, "_METADATA_AGE_MS", 100)
    reader = join(opened(requests_reader(one_partition)))
    add_partitions(one_partition, 2)
    join_between_polls(reader._consumer, lambda: reader.poll(0.0, 1))
    wait_until(lambda: reader.poll(0.25, 1) and reader.membership and len(reader.partitions) == 2, "stalled")


def test_the_client_itself_never_finishes_such_a_join(one_partition, opened) -> None:
    """This is the reason why a poll during a join requests the join again."""
    consumer = opened(raw_joined(one_partition, metadata_max_age_ms=100))
    add_partitions(one_partition, 2)
    join_between_polls(consumer, lambda: consumer.poll(0))
    for _ in range(30):
        consumer.poll(100)
    assert (state(consumer), len(consumer.assignment())) == (MemberState.REBALANCING, 1), (
        "this version of kafka-python finishes the join: the guard against trap 4 of cutstream/clients/kafka/ may go"
    )


def test_the_client_itself_discards_a_join_that_ends_between_polls(one_partition, opened) -> None:
    """This is the reason why the worker's loop waits only in polls while the group is being joined."""
    consumer = opened(raw_joined(one_partition))
    before = generation(consumer)
    rebalance_soon(consumer)
    for _ in range(3):
        join_between_polls(consumer, lambda: consumer.poll(0))
    assert (state(consumer), generation(consumer)) == (MemberState.REBALANCING, before + 3), (
        "this version of kafka-python keeps it: Loop._collect_timeout_s may wait for requests during a join"
    )
    consumer.poll(5_000)
    assert state(consumer) is MemberState.STABLE


def test_there_is_no_membership_before_the_group_is_stable_nor_after_being_thrown_out(one_partition, opened) -> None:
    reader = opened(requests_reader(one_partition))
    assert reader.membership is None
    before = join(reader).membership
    assert before.group_id == one_partition.group
    throw_out(one_partition, before.member_id)
    rebalance_soon(reader._consumer)
    # Without time, the first poll ends before the broker has answered its request to join.
    seen = {reader.membership if reader.poll(0.0, 1) else None for _ in range(50)}
    assert None in seen


def test_a_topic_is_read_from_its_beginning_or_from_its_end(one_partition, opened) -> None:
    topic = one_partition.results_topic
    writer = opened(RecordWriter(one_partition))
    writer.write([OutgoingRecord(topic, b"%d" % n, b"before", [("h", b"1")]) for n in range(20)])
    end = opened(TopicReader(one_partition, topic, from_end=True))
    writer.write([OutgoingRecord(topic, b"%d" % n, b"after") for n in range(20)])
    assert values(end) == [b"after"] * 20
    whole = values(opened(TopicReader(one_partition, topic)))
    assert sorted(whole) == [b"after"] * 20 + [b"before"] * 20


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_are_read_whatever_compresses_them(one_partition, opened, codec) -> None:
    """In the group like requests, and without one like cancellations, backgrounds, results and dead letters."""
    topic, value = one_partition.requests_topic, b"compressible" * 1000
    producer = opened(KafkaProducer(bootstrap_servers=one_partition.bootstrap_servers, compression_type=codec))
    producer.send(topic, value).get(timeout=TIMEOUT_S)
    assert values(opened(TopicReader(one_partition, topic))) == [value]
    assert read(opened(requests_reader(one_partition)), 1) == [0]


def test_a_missing_topic_is_named(one_partition, opened) -> None:
    with pytest.raises(ConfigurationError, match="'no-such-topic' does not exist"):
        opened(TopicReader(one_partition, "no-such-topic"))


def test_nothing_is_read_while_the_committed_offset_is_unknown(one_partition, opened, monkeypatch) -> None:
    write(one_partition, 10)
    commit_as_another_member(one_partition, 7)
    reader = join(opened(requests_reader(one_partition)))
    reader._consumer.seek_to_beginning(*reader._consumer.assignment())  # a wrong position, to notice when it is used
    monkeypatch.setattr(reader._consumer, "committed", refuse := Refusing())
    reader.rewind(reader.partitions)
    assert not any(reader.poll(0.1, 500).records for _ in range(5))
    assert refuse.calls >= 5
    monkeypatch.undo()
    assert read(reader, 3) == [7, 8, 9]


class Refusing:
    """Stands in for `committed` of a broker that does not answer in time. `calls` counts the calls."""

    calls = 0

    def __call__(self, partition, timeout_ms) -> int:
        self.calls += 1
        raise KafkaTimeoutError("no answer")


def test_the_client_itself_strands_a_partition_that_is_paused_half_delivered(
    kafka_settings, fresh_name, opened
) -> None:
    """This is the reason why the reader takes everything that the client has, into buffers of its own."""
    settings = kafka_settings.model_copy(update={"partitions": 2, "requests_topic": fresh_name("requests")})
    ensure_topics(settings)
    write_to_partitions(settings, opened, {0: 100, 1: 100})
    consumer = opened(KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, enable_auto_commit=False))
    consumer.assign([TopicPartition(settings.requests_topic, number) for number in range(2)])
    consumer.seek_to_beginning()
    delivered: Counter[TopicPartition] = Counter()

    def poll(max_records: int) -> int:
        records = consumer.poll(100, max_records)
        delivered.update({partition: len(batch) for partition, batch in records.items()})
        return sum(delivered.values())

    wait_until(lambda: poll(10), "nothing comes")
    (half,) = delivered
    consumer.pause(half)
    wait_until(lambda: poll(500) == 10 + 100, "the other partition does not come")
    consumer.resume(half)
    for _ in range(20):
        poll(500)
    assert delivered[half] == 10, (
        "this version of kafka-python delivers the rest: the guard against trap 5 of cutstream/clients/kafka/ may go"
    )


def test_every_record_comes_although_the_reader_delivers_few_at_a_time(kafka_settings, opened) -> None:
    write_to_partitions(kafka_settings, opened, dict.fromkeys(range(4), 1000))
    reader = join(opened(requests_reader(kafka_settings)))
    reader.rewind(reader.partitions)
    offsets: defaultdict[Partition, list[int]] = defaultdict(list)
    deadline = time.monotonic() + TIMEOUT_S
    for limit in cycle((0, 1, 100)):
        for record in reader.poll(0.01, limit).records:
            offsets[record.partition].append(record.offset)
        if sum(map(len, offsets.values())) == 4000:
            break
        assert time.monotonic() < deadline, "records are missing"
    assert all(of_one == [*range(1000)] for of_one in offsets.values())


@pytest.mark.logs_errors
def test_a_stalled_partition_is_read_again_and_then_with_a_new_client(
    one_partition, fresh_name, opened, monkeypatch
) -> None:
    settings = one_partition.model_copy(
        update={"partitions": 2, "requests_topic": fresh_name("requests"), "stall_s": 1.0}
    )
    ensure_topics(settings)
    monkeypatch.setattr(request_reader, "_EVERYTHING", 10)
    monkeypatch.setattr(request_reader, "_ENOUGH", 1)
    reader = join(opened(requests_reader(settings)))
    # Without the guard against trap 5, it takes ten records of a partition and pauses it half delivered.
    for number, count in {0: 100, 1: 5}.items():
        write_to_partitions(settings, opened, {number: count})
        fetch(reader, Partition(settings.requests_topic, number))
    monkeypatch.undo()
    before = reader.membership.member_id
    offsets: defaultdict[Partition, list[int]] = defaultdict(list)
    stalls: list[frozenset[Partition]] = []

    def poll() -> bool:
        polled = reader.poll(0.05, 500)
        for partition in polled.lost | polled.stalled:
            offsets[partition].clear()
        for record in polled.records:
            offsets[record.partition].append(record.offset)
        stalls.extend([polled.stalled] if polled.stalled else [])
        return sorted(map(len, offsets.values())) == [5, 100]

    wait_until(poll, "the partition stays stalled")
    assert stalls == [{Partition(settings.requests_topic, 0)}] * 2
    assert all(of_one == [*range(len(of_one))] for of_one in offsets.values())
    assert reader.membership.member_id != before


def fetch(reader, partition: Partition) -> None:
    wait_until(lambda: reader.poll(0.1, 0) and partition in reader._buffers.partitions(), "nothing is fetched")


def test_nothing_stalls_while_there_is_nothing_to_read(one_partition, opened) -> None:
    """Neither an open transaction nor the end of one is a record."""
    settings = one_partition.model_copy(update={"stall_s": 1.0})
    ended, left_open = (
        opened(KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{settings.group}-{n}"))
        for n in range(2)
    )
    reader = join(opened(requests_reader(settings)))
    for producer in (ended, left_open):
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(settings.requests_topic, b"").get(timeout=10)
    ended.commit_transaction()
    deadline, records = time.monotonic() + 3.0, []
    while time.monotonic() < deadline:
        polled = reader.poll(0.1, 500)
        records += polled.records
        assert not polled.stalled
    assert len(records) == 1
    left_open.commit_transaction()
    assert read(reader, 1)
    assert reader.position(Partition(settings.requests_topic, 0)) == 4, "the marks of both transactions are read"


def forget_topic(settings, consumer: KafkaConsumer, topic: str) -> None:
    """Delete a topic, and have a client learn of it while it still has the topic's partitions."""
    delete_topics(settings, topic)
    cluster = consumer._client.cluster

    def forgotten() -> bool:
        consumer._net.run(consumer._manager.wait_for, cluster.request_update(), 5_000)
        return cluster.leader_for_partition(TopicPartition(topic, 0)) is None

    wait_until(forgotten, "the client still knows the topic")


def test_a_topic_that_is_deleted_ends_no_reader(kafka_settings, opened) -> None:
    """Partitions without a leader are left out of the client's answers."""
    settings = kafka_settings
    reader = opened(RequestReader(settings, [settings.request_topics]))
    while len(reader.partitions) < 3 * settings.partitions or not reader.membership:
        reader.poll(0.1, 1)
    write(settings, 1)
    read(reader, 1)
    before = reader.partitions
    forget_topic(settings, reader._consumer, settings.urgent_topic)
    assert reader._behind(before) == {}
    with pytest.raises(BrokerUnavailable, match="no broker leads"), map_kafka_errors():
        reader._consumer.end_offsets([TopicPartition(p.topic, p.number) for p in before], timeout_ms=5_000)
    gone = {p for p in before if p.topic == settings.urgent_topic}
    wait_until(lambda: reader.poll(0.1, 1) and not (gone & reader.partitions), "the partitions stay")
    assert {reader.position(p) for p in gone} == {reader.end_offset(p) for p in gone} == {None}
    write(settings, 1)
    assert read(reader, 1)


def test_the_client_itself_looks_up_partitions_that_its_answer_lacks(kafka_settings, opened) -> None:
    """Trap 15. If this fails, this client does not need the guard any more."""
    settings = kafka_settings
    consumer = opened(KafkaConsumer(bootstrap_servers=settings.bootstrap_servers))
    partitions = [TopicPartition(topic, 0) for topic in (settings.requests_topic, settings.urgent_topic)]
    consumer.assign(partitions)
    assert len(consumer.end_offsets(partitions, timeout_ms=5_000)) == 2
    forget_topic(settings, consumer, settings.urgent_topic)
    with pytest.raises(KeyError):
        consumer.end_offsets(partitions, timeout_ms=5_000)


@pytest.mark.logs_errors
def test_a_corrupt_record_holds_its_partition_until_it_can_be_read(one_partition, opened, monkeypatch) -> None:
    write(one_partition, 3)
    reader = join(opened(requests_reader(one_partition)))
    before = reader.membership.member_id
    reader.rewind(reader.partitions)
    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: False)
    wait_until(lambda: reader.poll(0.1, 500).unreadable, "it is not noticed")
    monkeypatch.undo()
    assert read(reader, 3) == [0, 1, 2]
    assert not reader.poll(0.0, 500).unreadable
    assert reader.membership.member_id == before


@pytest.mark.logs_errors
def test_a_corrupt_record_ends_the_reading_of_a_whole_topic_and_can_be_deleted(
    one_partition, opened, monkeypatch
) -> None:
    topic = one_partition.requests_topic
    for _ in range(3):
        write(one_partition, 1)
    sound = DefaultRecordBatch.validate_crc
    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: batch.base_offset != 1 and sound(batch))
    whole = opened(TopicReader(one_partition, topic))
    assert [record.offset for record in whole.poll(5.0)] == [0]
    with pytest.raises(UnreadableRecords, match=f"{topic}-0 cannot be read at offset 1"):
        whole.poll(5.0)
    reader = join(opened(requests_reader(one_partition)))
    found: list[Polled] = []
    wait_until(lambda: found.append(reader.poll(0.1, 500)) or found[-1].unreadable, "it is not noticed")
    assert [record.offset for polled in found for record in polled.records] == [0]
    delete_records(one_partition, topic, {0: 2})  # as the runbook says: the workers need not stop for it
    assert read(reader, 1) == [2]
    wait_until(lambda: not reader.poll(0.1, 500).unreadable, "it is not forgotten")


def test_records_that_unpack_to_too_much_come_without_their_content(one_partition, opened) -> None:
    """librdkafka sends them, the broker takes them, and zstd makes 1 KiB of one. It stopped its partition for good."""
    topic, codecs = one_partition.requests_topic, ["gzip", "snappy", "lz4", "zstd"]
    failed: list[object] = []
    for codec in codecs:
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": one_partition.bootstrap_servers,
                "compression.type": codec,
                "message.max.bytes": 64 * 1024 * 1024,
            }
        )
        producer.produce(topic, bytes(MAX_BATCH_BYTES), partition=0, on_delivery=lambda error, _: failed.append(error))
        assert producer.flush(TIMEOUT_S) == 0
    write(one_partition, 1)
    taken = sum(error is None for error in failed)  # what snappy makes of it is more than a topic takes
    assert taken >= 3, failed
    found = read_records(join(opened(requests_reader(one_partition))), taken + 1)
    assert [(record.offset, bool(record.unread)) for record in found] == [
        *((n, True) for n in range(taken)),
        (taken, False),
    ]
    whole = opened(TopicReader(one_partition, topic))
    delivered: list[Record] = []
    wait_until(lambda: delivered.extend(whole.poll(0.5)) or whole.caught_up, "it stops those who read a whole topic")
    assert [record.offset for record in delivered] == [taken]


def test_whatever_a_broker_takes_is_passed(one_partition, opened) -> None:
    """Batches by hand. The broker may refuse one; if it takes it, its records have answers and nothing stops."""
    names = [name for name, shape in SHAPES.items() for _ in range(produce(one_partition, shape()))]
    write(one_partition, 1)
    found = read_records(join(opened(requests_reader(one_partition))), len(names) + 1)
    assert [record.offset for record in found] == [*range(len(names) + 1)]
    assert not found[-1].unread
    assert "lz4 with a wrong checksum of its content" in {
        names[record.offset] for record in found[:-1] if record.unread
    }


def read_records(reader: RequestReader, count: int) -> list[Record]:
    found: list[Record] = []
    wait_until(lambda: found.extend(reader.poll(0.1, 500).records) or len(found) >= count, "the partition stands still")
    return found


def test_a_header_name_that_is_not_utf_8_is_read_and_written_as_the_same_bytes(one_partition, opened) -> None:
    headers = [(b"caf\xe9".decode(errors="surrogateescape"), b"1"), ("plain", b"2")]
    for topic, writer in (
        (one_partition.requests_topic, RecordWriter(one_partition)),
        (one_partition.retry_topic, TransactionalWriter(one_partition, one_partition.group)),
    ):
        opened(writer).write([OutgoingRecord(topic, b"k", b"v", headers)])
        (record,) = opened(TopicReader(one_partition, topic)).poll(5.0)
        assert record.headers == headers
        headers = record.headers


def test_the_client_itself_never_returns_after_a_corrupt_record(one_partition, opened, monkeypatch) -> None:
    """This is the reason why the reader opens a new client then."""
    write(one_partition, 3)
    consumer = opened(raw_member(one_partition))
    consumer.subscribe([one_partition.requests_topic])
    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: False)
    with pytest.raises(CorruptRecordError):
        poll_until_assigned(consumer)

    def poll() -> None:
        with suppress(TypeError, CorruptRecordError):  # how it may end when its records are taken from it
            consumer.poll(100)

    polling = threading.Thread(target=poll, daemon=True)
    polling.start()
    polling.join(2.0)
    stuck, records = polling.is_alive(), consumer._fetcher._next_partition_records
    if records:
        records.drain()
    polling.join(10.0)
    assert stuck, "this version of kafka-python returns: the guard against trap 6 of cutstream/clients/kafka/ may go"


def test_nothing_is_lost_or_comes_twice_while_two_readers_lose_gain_rewind_and_wait(kafka_settings, opened) -> None:
    settings = kafka_settings.model_copy(update={"session_timeout_s": 6.0})
    total = 2000
    write_to_partitions(settings, opened, dict.fromkeys(range(4), total // 4))
    members = [Member(settings, opened, seed) for seed in range(2)]
    join(members[0].reader)
    order, deadline = random.Random(7), time.monotonic() + 60.0
    with ThreadPoolExecutor(2) as threads:
        working = [threads.submit(member.work) for member in members]
        try:
            while sum(committed(settings).values()) < total:
                assert time.monotonic() < deadline, f"only {committed(settings)}"
                assert not any(future.done() for future in working)
                member = order.choice(members)
                member.fault = order.choice(["rejoin", "be thrown out", "wait", "rewind", ""])
                if member.fault == "be thrown out" and (membership := member.reader.membership):
                    throw_out(settings, membership.member_id)
                time.sleep(0.3)
        finally:
            for member in members:
                member.stop.set()
        for future in working:
            future.result()
    results = sorted(values(opened(TopicReader(settings, settings.results_topic))))
    assert results == sorted(b"%d-%d" % (number, offset) for number in range(4) for offset in range(total // 4))


class Member:
    """Reads, and commits a result for each request. It commits each `fault` once, between two polls."""

    def __init__(self, settings, opened, seed: int) -> None:
        self.settings = settings
        self.reader, self.committer = (
            opened(client) for client in (requests_reader(settings), TransactionalCommitter(settings))
        )
        self.fault = ""
        self.stop = threading.Event()
        self._order = random.Random(seed)
        self._next: dict[Partition, int] = {}
        self._done: list[Record] = []

    def work(self) -> None:
        while not self.stop.is_set():
            self._misbehave()
            polled = self.reader.poll(0.05, self._order.choice([0, 1, 7, 100]))
            self._forget(polled.lost | polled.gained | polled.stalled)
            for record in polled.records:
                assert record.offset == self._next.get(record.partition, record.offset)
                self._next[record.partition] = record.offset + 1
                self._done.append(record)
            if self._done and self.reader.membership:
                self._commit()

    def _commit(self) -> None:
        results = [
            OutgoingRecord(self.settings.results_topic, None, b"%d-%d" % (r.partition.number, r.offset))
            for r in self._done
        ]
        offsets = {record.partition: record.offset + 1 for record in self._done}
        try:
            self.committer.commit(results, offsets, self.reader.membership)
            self._done.clear()
        except CommitRefused:
            self._rewind()

    def _misbehave(self) -> None:
        fault, self.fault = self.fault, ""
        if fault == "rejoin":
            rebalance_soon(self.reader._consumer)
        elif fault == "rewind":
            self._rewind()
        elif fault == "wait":
            time.sleep(0.5)

    def _rewind(self) -> None:
        owned = self.reader.partitions
        self._forget(owned)
        self.reader.rewind(owned)

    def _forget(self, partitions) -> None:
        self._done = [record for record in self._done if record.partition not in partitions]
        for partition in partitions:
            self._next.pop(partition, None)
