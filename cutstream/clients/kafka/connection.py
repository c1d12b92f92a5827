"""The connection settings and the type conversions that all parts of the client share."""

from __future__ import annotations

from typing import Any

from kafka import TopicPartition

from cutstream.clients.kafka.records import Partition, Record
from cutstream.settings import KafkaSettings


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments that consumers, producers and admin clients take to reach the brokers."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "security_protocol": settings.security_protocol,
        "client_id": "cutstream",
    }
    if settings.ssl_cafile:
        options["ssl_cafile"] = str(settings.ssl_cafile)
    if settings.sasl_mechanism:
        password = settings.sasl_password
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options


def to_partition(tp: TopicPartition) -> Partition:
    return Partition(tp.topic, tp.partition)


def to_topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def to_record(consumed: Any) -> Record:
    """Convert kafka-python's ConsumerRecord."""
    return Record(
        Partition(consumed.topic, consumed.partition),
        consumed.offset,
        consumed.timestamp,
        consumed.key,
        consumed.value or b"",
        list(consumed.headers or []),
    )
