"""Creating and checking the product's topics, and their ends and beginnings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic, OffsetSpec
from kafka.errors import (
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from cutstream.clients.kafka.connection import connection_options
from cutstream.clients.kafka.errors import NoTopic, map_kafka_errors
from cutstream.clients.kafka.records import MAX_RECORD_BYTES
from cutstream.errors import BrokerUnavailable, ConfigurationError
from cutstream.settings import KafkaSettings

_TIMES = "message.timestamp.type"
_TOPIC_TIMEOUT_S = 20.0  # a machine that has just started three servers is slow


def ensure_topics(settings: KafkaSettings) -> None:
    """Create the product's topics that are missing. Existing topics stay as they are."""
    wanted = _new_topics(settings)
    with _admin_client(settings) as admin:
        _create(admin, wanted)
        # A worker that joins before all brokers know the topics gets no partitions until its metadata is refreshed.
        deadline = time.monotonic() + _TOPIC_TIMEOUT_S
        while missing := {topic.name for topic in wanted} - set(admin.list_topics()):
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"Kafka has created {', '.join(sorted(missing))} but does not list them yet")
            time.sleep(0.05)


def _create(admin: Any, wanted: list[NewTopic]) -> None:
    """Create the topics that are missing, all with one request, which takes a broker as long as a single one."""
    there = set(admin.list_topics())
    missing = [topic for topic in wanted if topic.name not in there]
    try:
        if missing:
            admin.create_topics(missing)
    except TopicAlreadyExistsError:  # somebody else creates them at this moment
        for topic in missing:
            with suppress(TopicAlreadyExistsError):
                admin.create_topics([topic])


def topics_with_senders_times(settings: KafkaSettings) -> list[str]:
    """Return those topics of requests whose records have the times that their senders claim.

    Empty if this user may not ask, which takes DESCRIBE_CONFIGS.
    """
    names = (settings.requests_topic, settings.urgent_topic)
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {_TIMES: None}) for name in names]
    with _admin_client(settings) as admin:
        found = admin.describe_configs(asked, config_filter="all").get("topic", {})
    times = {name: found.get(name, {}).get(_TIMES, {}).get("value") for name in names}
    return [name for name in names if times[name] == "CreateTime"]


def check_topics(settings: KafkaSettings) -> None:
    """Raise NoTopic when a topic is missing, and ConfigurationError without a right on one that a worker needs.

    Without a topic the client would wait for it and say nothing, and without a right it would fail with the first
    request that needs it. The topic of the backgrounds may be missing: then only requests that name a background fail,
    and they say why.
    """
    needed = _needed_rights(settings)
    with _admin_client(settings) as admin:
        found = {topic["name"]: topic for topic in admin.describe_topics(sorted(needed))}
    missing = _missing(found.values())
    lacking = [
        f"{right} on {name}"
        for name, topic in sorted(found.items())
        if name not in missing
        for right in needed[name]
        if not _has(topic, right)
    ]
    problems = []
    if missing:
        problems.append(what_is_missing(missing))
    if lacking:
        problems.append(
            f"this user may not use all topics: give it the rights {', '.join(lacking)} (docs/security.md#rights)"
        )
    if problems:
        raise (NoTopic if missing else ConfigurationError)("\n".join(problems))


def missing_topics(settings: KafkaSettings, admin: Any) -> frozenset[str]:
    """Return those topics that a worker needs and that do not exist."""
    return frozenset(_missing(admin.describe_topics(sorted(_needed_rights(settings)))))


def what_is_missing(topics: Iterable[str]) -> str:
    return (
        f"missing topics: {', '.join(sorted(topics))}. Create them with `cutstream topics create`, or name others in "
        "CUTSTREAM_KAFKA__*_TOPIC (docs/settings.md#kafka)"
    )


def _missing(described: Iterable[Mapping[str, Any]]) -> list[str]:
    return [topic["name"] for topic in described if for_code(topic["error_code"]) is UnknownTopicOrPartitionError]


def _needed_rights(settings: KafkaSettings) -> dict[str, list[str]]:
    """Return the rights that a worker needs on topics. On that of the backgrounds, the catalogue says it."""
    s = settings
    reads = (*s.request_topics, s.cancellations_topic)
    writes = (s.retry_topic, s.results_topic, s.dead_letters_topic)
    rights = ((reads, "READ"), (writes, "WRITE"))
    return {name: [right for names, right in rights if name in names] for name in (*reads, *writes)}


def _has(topic: Mapping[str, Any], right: str) -> bool:
    """Tell whether this user has the right, as far as the broker says so. One older than 2.3 does not."""
    if for_code(topic["error_code"]) is TopicAuthorizationFailedError:
        return False
    rights = topic.get("authorized_operations")
    return rights is None or right in rights


def end_offsets(settings: KafkaSettings, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the partitions' ends, with the records of transactions that are still open."""
    with _admin_client(settings) as admin:
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return {partition: end.offset for partition, end in ends.items()}


def cluster_and_ends(settings: KafkaSettings, topic: str) -> tuple[str, dict[int, int]]:
    """Return the name that the cluster of brokers has given itself, and where a topic ends.

    No two clusters have the same name. The ends are the offsets behind the last records, for each partition number.
    """
    with _admin_client(settings) as admin:
        cluster = str(admin.describe_cluster()["cluster_id"])
        found = admin.describe_topics([topic])
        numbers = [each["partition_index"] for described in found for each in described["partitions"]]
        partitions = [TopicPartition(topic, number) for number in numbers]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST)) if partitions else {}
    return cluster, {partition.partition: end.offset for partition, end in ends.items()}


def delete_records(settings: KafkaSettings, topic: str, before: Mapping[int, int]) -> None:
    """Delete, for each partition number, the records before an offset. Raises ConfigurationError."""
    with _admin_client(settings) as admin:
        admin.delete_records({TopicPartition(topic, number): offset for number, offset in before.items()})


def _new_topics(settings: KafkaSettings) -> list[NewTopic]:
    s = settings
    longer = {"max.message.bytes": MAX_RECORD_BYTES}  # what workers add to the headers must fit as well
    compacted = {"cleanup.policy": "compact"}
    # A sender's times begin a new segment with every other record if they are days apart, until the broker has no file
    # descriptor left, and decide when records are deleted.
    strangers = {_TIMES: "LogAppendTime"}
    own = {_TIMES: "CreateTime"}  # only workers write there, and compare the times with their own clocks
    return [
        NewTopic(s.requests_topic, s.partitions, s.replication, None, strangers),
        NewTopic(s.urgent_topic, s.partitions, s.replication, None, strangers),
        NewTopic(s.retry_topic, s.partitions, s.replication, None, longer | own),
        NewTopic(s.results_topic, s.partitions, s.replication),
        NewTopic(s.dead_letters_topic, s.partitions, s.replication, None, longer),
        NewTopic(s.cancellations_topic, 1, s.replication, None, compacted | strangers),
        NewTopic(s.backgrounds_topic, 1, s.replication, None, compacted | strangers),
    ]


@contextmanager
def _admin_client(settings: KafkaSettings) -> Iterator[Any]:
    with map_kafka_errors():
        admin = KafkaAdminClient(**connection_options(settings))
        try:
            yield admin
        finally:
            admin.close()
