"""Committing on a real broker: results with offsets, refusals, fencing, and the view of a reader meanwhile."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from cutstream.clients.kafka import (
    AtLeastOnceCommitter,
    CommitRefused,
    OutgoingRecord,
    Partition,
    TopicReader,
    TransactionalCommitter,
    producers,
)
from cutstream.errors import ConfigurationError, Fenced
from tests.support.group import committed, join, read, rebalance_soon, requests_reader, throw_out, values, write

pytestmark = pytest.mark.kafka


def partition(settings, number=0) -> Partition:
    return Partition(settings.requests_topic, number)


def result(settings, value: bytes) -> OutgoingRecord:
    return OutgoingRecord(settings.results_topic, None, value)


def stale(membership):
    """Return the membership of the generation before, as a member that was thrown out would present it."""
    return membership._replace(generation_id=membership.generation_id - 1)


def raw_producer(settings, transactional_id: str) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=transactional_id)


@contextmanager
def open_transaction(settings, transactional_id: str, membership, offset: int):
    """Hold a transaction open that has written an offset."""
    producer = raw_producer(settings, transactional_id)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        partition = TopicPartition(settings.requests_topic, 0)
        producer.send_offsets_to_transaction({partition: OffsetAndMetadata(offset, "", -1)}, membership)
        yield producer
    finally:
        producer.close(timeout=5)


def test_results_and_offsets_are_committed_together(kafka_settings, opened) -> None:
    write(kafka_settings, 8)
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    for number in range(3):
        offsets = {partition(kafka_settings, n): number + 1 for n in range(2)}
        committer.commit([result(kafka_settings, b"%d" % number)], offsets, reader.membership)
    assert committed(kafka_settings) == {0: 3, 1: 3}
    seen = values(opened(TopicReader(kafka_settings, kafka_settings.results_topic)))
    assert sorted(seen) == [b"0", b"1", b"2"]


def test_a_stale_membership_is_refused_and_nothing_it_wrote_is_ever_visible(kafka_settings, opened) -> None:
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    results = opened(TopicReader(kafka_settings, kafka_settings.results_topic, from_end=True))
    with pytest.raises(CommitRefused):
        committer.commit([result(kafka_settings, b"stale")], {partition(kafka_settings): 5}, stale(reader.membership))
    assert committed(kafka_settings) == {}
    committer.commit([result(kafka_settings, b"good")], {partition(kafka_settings): 2}, reader.membership)
    assert committed(kafka_settings) == {0: 2}
    assert values(results) == [b"good"]


def test_the_offsets_of_a_refused_transaction_are_not_committed_with_the_next_one(kafka_settings, opened) -> None:
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    with pytest.raises(CommitRefused):
        committer.commit([], {partition(kafka_settings, 1): 99}, stale(reader.membership))
    committer.commit([], {partition(kafka_settings, 0): 1}, reader.membership)
    assert committed(kafka_settings) == {0: 1}


def test_the_client_itself_commits_a_refused_transactions_offsets_with_the_next_one(
    kafka_settings, opened, fresh_name
) -> None:
    """This is the reason for a new producer after every refusal."""
    reader = join(opened(requests_reader(kafka_settings)))
    producer = opened(raw_producer(kafka_settings, fresh_name("raw")))
    producer.init_transactions()

    def transact(number: int, offset: int, membership) -> None:
        producer.begin_transaction()
        partition = TopicPartition(kafka_settings.requests_topic, number)
        producer.send_offsets_to_transaction({partition: OffsetAndMetadata(offset, "", -1)}, membership)
        producer.commit_transaction()

    with pytest.raises(KafkaError):
        transact(1, 99, stale(reader.membership))
    producer.abort_transaction()
    transact(0, 1, reader.membership)
    assert committed(kafka_settings) == {0: 1, 1: 99}, (
        "this version of kafka-python forgets the offsets of an aborted transaction: the guard against trap 1 of "
        "cutstream/clients/kafka/ may go"
    )


class LostOnce:
    """In place of a producer's `await_ready`: the first connection to a coordinator fails, as when its broker dies."""

    def __init__(self, producer) -> None:
        self.await_ready = producer._sender._client.await_ready
        self.failed = False

    def __call__(self, node_id, timeout_ms=30_000):
        if str(node_id).startswith("coordinator") and not self.failed:
            self.failed = True
            raise KafkaConnectionError("the broker is lost")
        return self.await_ready(node_id, timeout_ms=timeout_ms)


def test_a_coordinator_that_is_lost_costs_no_transaction(kafka_settings, opened, monkeypatch) -> None:
    def lose_coordinator(*args, **options):
        producer = KafkaProducer(*args, **options)
        lost.append(LostOnce(producer))
        producer._sender._client.await_ready = lost[-1]
        return producer

    lost: list[LostOnce] = []
    monkeypatch.setattr(producers, "KafkaProducer", lose_coordinator)
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    lost[0].failed = False
    committer.commit([result(kafka_settings, b"once")], {partition(kafka_settings): 1}, reader.membership)
    assert lost[0].failed
    assert committed(kafka_settings) == {0: 1}


def test_a_producer_that_cannot_send_is_closed_with_its_thread(kafka_settings, fresh_name) -> None:
    producer = producers.make_producer(kafka_settings)
    producer._sender._send_producer_data = lambda now=None: 50  # as if the leaders were away
    future = producer.send(kafka_settings.results_topic, b"never sent")
    with pytest.raises(KafkaTimeoutError):  # this is the reason for the guard against trap 9
        producer.close(timeout=0.2)
    assert producer._sender.is_alive()
    producers.close_producer(producer, 0.2)
    producer._sender.join(10)
    assert not producer._sender.is_alive()
    assert future.failed()


def test_the_client_itself_forgets_the_request_and_waits_without_limit(kafka_settings, opened, fresh_name) -> None:
    """This is the reason for the guard against trap 8."""
    reader = join(opened(requests_reader(kafka_settings)))
    producer = opened(raw_producer(kafka_settings, fresh_name("raw")))
    producer.init_transactions()
    producer._sender._client.await_ready = LostOnce(producer)
    producer.begin_transaction()
    offsets = {TopicPartition(kafka_settings.requests_topic, 0): OffsetAndMetadata(1, "", -1)}
    answer = producer._transaction_manager.send_offsets_to_transaction(offsets, reader.membership)
    producer._sender.wakeup()
    assert not answer.wait(timeout_ms=3_000), (
        "this version of kafka-python asks again: the guard against trap 8 of cutstream/clients/kafka/ may go"
    )


def test_a_member_that_was_thrown_out_commits_nothing(one_partition, opened) -> None:
    write(one_partition, 3)
    reader = opened(requests_reader(one_partition))
    assert read(reader, 3) == [0, 1, 2]
    committer = opened(TransactionalCommitter(one_partition))
    before = reader.membership
    throw_out(one_partition, before.member_id)
    with pytest.raises(CommitRefused):
        committer.commit([result(one_partition, b"zombie")], {partition(one_partition): 3}, before)
    rebalance_soon(reader._consumer)
    assert read(reader, 3) == [0, 1, 2]
    committer.commit([result(one_partition, b"again")], {partition(one_partition): 3}, reader.membership)
    assert committed(one_partition) == {0: 3}
    assert values(opened(TopicReader(one_partition, one_partition.results_topic))) == [b"again"]


def test_a_reader_that_takes_over_waits_for_the_offset_of_an_open_transaction(
    one_partition, opened, fresh_name
) -> None:
    write(one_partition, 10)
    first = opened(requests_reader(one_partition))
    read(first, 10)
    first.commit({partition(one_partition): 2})
    polled: list[int] = []
    with open_transaction(one_partition, fresh_name("open"), first.membership, 7) as producer:
        first.close()
        second = opened(requests_reader(one_partition))
        taking_over = threading.Thread(target=lambda: polled.extend(read(second, 3)), daemon=True)
        taking_over.start()
        time.sleep(1.5)
        assert polled == []
        producer.commit_transaction()
        taking_over.join(20)
    assert polled == [7, 8, 9]


def test_aborted_records_are_invisible_and_do_not_block_the_reader(kafka_settings, opened, fresh_name) -> None:
    producer = opened(raw_producer(kafka_settings, fresh_name("raw")))
    results = opened(TopicReader(kafka_settings, kafka_settings.results_topic, from_end=True))
    producer.init_transactions()
    for number, end in enumerate([producer.abort_transaction, producer.commit_transaction] * 3):
        producer.begin_transaction()
        producer.send(kafka_settings.results_topic, b"%d" % number)
        producer.flush()
        assert results.poll(0.2) == []
        end()
        if number % 2:
            assert values(results) == [b"%d" % number]


def test_a_dead_letter_may_be_larger_than_its_request(kafka_settings, opened) -> None:
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    letter = OutgoingRecord(kafka_settings.dead_letters_topic, None, bytes(1024 * 1024), [("why", bytes(5000))])
    committer.commit([letter], {partition(kafka_settings): 1}, reader.membership)
    (read_back,) = opened(TopicReader(kafka_settings, kafka_settings.dead_letters_topic)).poll(5.0)
    assert (read_back.value, read_back.headers) == (letter.value, letter.headers)


@pytest.mark.parametrize("size", [2 * 1024 * 1024, 9 * 1024 * 1024], ids=["for-the-topic", "for-the-client"])
def test_a_record_that_is_too_large_stops_the_worker_and_names_the_limit_to_raise(kafka_settings, opened, size) -> None:
    reader = join(opened(requests_reader(kafka_settings)))
    committer = opened(TransactionalCommitter(kafka_settings))
    with pytest.raises(ConfigurationError, match=r"max\.message\.bytes"):
        committer.commit([result(kafka_settings, bytes(size))], {partition(kafka_settings): 1}, reader.membership)
    assert committed(kafka_settings) == {}


def test_two_workers_with_one_transactional_id_stop_instead_of_fencing_each_other_for_ever(
    kafka_settings, opened, fresh_name
) -> None:
    settings = kafka_settings.model_copy(update={"transactional_id": fresh_name("shared")})
    reader = join(opened(requests_reader(settings)))
    pair = [opened(TransactionalCommitter(settings)) for _ in range(2)]

    def ping_pong() -> None:
        for turn in range(40):
            try:
                pair[turn % 2].commit([], {partition(settings): turn}, reader.membership)
            except CommitRefused:
                pass  # one or two refusals may come from a predecessor that was slow to end

    with pytest.raises(Fenced, match="CUTSTREAM_KAFKA__TRANSACTIONAL_ID"):
        ping_pong()


def test_a_worker_that_replaces_another_with_its_id_continues(kafka_settings, opened, fresh_name) -> None:
    settings = kafka_settings.model_copy(update={"transactional_id": fresh_name("replaced")})
    reader = join(opened(requests_reader(settings)))
    old, new = opened(TransactionalCommitter(settings)), opened(TransactionalCommitter(settings))
    with pytest.raises(CommitRefused):
        old.commit([], {partition(settings): 99}, reader.membership)
    old.close()
    new.commit([], {partition(settings): 1}, reader.membership)
    assert committed(settings) == {0: 1}


def test_a_worker_whose_instance_id_another_took_stops(one_partition, opened, fresh_name) -> None:
    settings = one_partition.model_copy(update={"instance_id": fresh_name("instance")})
    first = join(opened(requests_reader(settings)))
    before = first.membership
    join(opened(requests_reader(settings)))
    transactional = opened(TransactionalCommitter(settings))
    for _ in range(4):  # it may be this worker itself that is back
        with pytest.raises(CommitRefused):
            transactional.commit([], {partition(settings): 1}, before)
    for committer in (transactional, opened(AtLeastOnceCommitter(settings, first.commit))):
        with pytest.raises(Fenced, match="CUTSTREAM_KAFKA__INSTANCE_ID"):
            committer.commit([], {partition(settings): 1}, before)
    assert committed(settings) == {}


def test_at_least_once_writes_results_before_it_commits_their_offsets(kafka_settings, opened) -> None:
    reader = join(opened(requests_reader(kafka_settings)))
    results = opened(TopicReader(kafka_settings, kafka_settings.results_topic, from_end=True))
    readable: list[bytes] = []

    def commit_offsets(offsets) -> None:
        readable.extend(values(results))
        reader.commit(offsets)

    committer = opened(AtLeastOnceCommitter(kafka_settings, commit_offsets))
    committer.commit([result(kafka_settings, b"first")], {partition(kafka_settings): 1}, reader.membership)
    assert readable == [b"first"]
    assert committed(kafka_settings) == {0: 1}


def test_at_least_once_repeats_results_whose_offsets_were_refused(one_partition, opened) -> None:
    write(one_partition, 1)
    reader = opened(requests_reader(one_partition))
    read(reader, 1)
    throw_out(one_partition, reader.membership.member_id)
    committer = opened(AtLeastOnceCommitter(one_partition, reader.commit))
    with pytest.raises(CommitRefused):
        committer.commit([result(one_partition, b"repeated")], {partition(one_partition): 1}, reader.membership)
    assert committed(one_partition) == {}
    assert read(reader, 1) == [0]
    committer.commit([result(one_partition, b"repeated")], {partition(one_partition): 1}, reader.membership)
    assert values(opened(TopicReader(one_partition, one_partition.results_topic))) == [b"repeated"] * 2
