"""Helpers for tests of the Kafka client: they read, write, and change the group and its topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, MemberToRemove, NewPartitions

from cutstream.clients.kafka import OutgoingRecord, Partition, RecordWriter, RequestReader, RequestSource, TopicReader
from cutstream.settings import KafkaSettings

Source = TypeVar("Source", bound=RequestSource)

TIMEOUT_S = 20.0


def requests_reader(settings: KafkaSettings) -> RequestReader:
    """Return a reader of the requests topic alone, so that its partitions are all that the group shares."""
    return RequestReader(settings, [[settings.requests_topic]])


def write(settings: KafkaSettings, count: int) -> None:
    """Write `count` requests whose content does not matter."""
    writer = RecordWriter(settings)
    writer.start()
    with closing(writer):
        writer.write(OutgoingRecord(settings.requests_topic, None, b"%d" % n) for n in range(count))


def read(reader: RequestSource, count: int) -> list[int]:
    """Poll until at least `count` records have come. Return their offsets."""
    offsets: list[int] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(offsets) < count:
        assert time.monotonic() < deadline, f"only {offsets}"
        offsets += [record.offset for record in reader.poll(0.1, 500).records]
    return offsets


def join(reader: Source) -> Source:
    """Poll until the reader is a member with partitions."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (reader.membership and reader.partitions):
        assert time.monotonic() < deadline, "not a member with partitions"
        reader.poll(0.1, 1)
    return reader


def wait_until(condition: Callable[[], object], otherwise: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition` holds. Fail with the message `otherwise` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def values(reader: TopicReader, quiet_s: float = 0.5) -> list[bytes]:
    """Read values until none comes for `quiet_s`."""
    read_values: list[bytes] = []
    while batch := reader.poll(quiet_s):
        read_values += [record.value for record in batch]
    return read_values


def throw_out(settings: KafkaSettings, member_id: str) -> None:
    """Remove a member from the group. The member does not notice before its next heartbeat or commit."""
    with closing(KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)) as admin:
        admin.remove_group_members(settings.group, [MemberToRemove(member_id=member_id)])


def add_partitions(settings: KafkaSettings, total: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)) as admin:
        admin.create_partitions({settings.requests_topic: NewPartitions(total)})


def delete_topics(settings: KafkaSettings, *topics: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)) as admin:
        admin.delete_topics(list(topics))


def commit_as_another_member(settings: KafkaSettings, offset: int) -> None:
    other = requests_reader(settings)
    other.start()
    with closing(other):
        join(other).commit({Partition(settings.requests_topic, 0): offset})


def committed(settings: KafkaSettings) -> dict[int, int]:
    """Return the group's committed offset of each partition of the requests topic that has one.

    A transaction commits before the broker has applied it to the offsets. A reader of committed records waits for that;
    an admin client does not, and may miss it.
    """
    with closing(
        KafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers, group_id=settings.group, isolation_level="read_committed"
        )
    ) as reader:
        partitions = reader.partitions_for_topic(settings.requests_topic)
        offsets = {number: reader.committed(TopicPartition(settings.requests_topic, number)) for number in partitions}
    return {number: offset for number, offset in offsets.items() if offset is not None}


def rebalance_soon(consumer: Any) -> None:
    """Make a member rejoin, as it does when a heartbeat reports a rebalance or new metadata brings new partitions."""
    consumer._coordinator.request_rejoin()
