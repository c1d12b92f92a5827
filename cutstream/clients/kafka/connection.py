"""The connection settings and the type conversions that all parts of the client share."""

from __future__ import annotations

import socket
from typing import Any

from kafka import TopicPartition

from cutstream.clients.kafka.logins import hear_of_refused_logins, hide_logins
from cutstream.clients.kafka.reachability import first_to_answer
from cutstream.clients.kafka.records import Partition, Record, Unread
from cutstream.clients.kafka.tls import tls_options
from cutstream.settings import KafkaSettings

# An answer may take as long as a cluster needs to replace a broker that is lost: 9 s with Kafka's defaults.
REQUEST_TIMEOUT_MS = 12_000
_RECONNECT_MAX_MS = 1_000  # the client's default of 30 s would prolong every outage by as much
_BOOTSTRAP_TIMEOUT_MS = 4_000
# A client keeps its idle connections: where strangers hold all that the broker takes, it would get no new one. By
# default it closes them after 9 min, and most brokers after 10. What a firewall has forgotten, TCP finds out.
_NEVER_MS = 2**31 - 1
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]

hear_of_refused_logins()
hide_logins()


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Find a broker that answers. Return the keyword arguments with which every client of kafka-python reaches it.

    Raises BrokerUnavailable after 3 s at most.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [first_to_answer(settings)],
        "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": _RECONNECT_MAX_MS,
        "connections_max_idle_ms": _NEVER_MS,
        "socket_options": _SOCKET_OPTIONS,
        "security_protocol": settings.security_protocol,
        "client_id": "cutstream",
    }
    options |= tls_options(settings)
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
    unread = consumed.value if isinstance(consumed.value, Unread) else None
    return Record(
        Partition(consumed.topic, consumed.partition),
        consumed.offset,
        # The first format of Kafka's log has no times. A producer may give any negative one; only -1 has a meaning.
        -1 if consumed.timestamp is None else max(-1, consumed.timestamp),
        consumed.key,
        b"" if unread is not None else consumed.value or b"",
        # A header may have no value. The client reads such headers, but it cannot write them.
        [(name, value or b"") for name, value in consumed.headers or []],
        unread.cause if unread is not None else "",
    )
