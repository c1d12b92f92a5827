"""Opening and closing kafka-python's producers. It guards against traps 8 and 9 of the package's docstring."""

from __future__ import annotations

import time
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from cutstream.clients.kafka.connection import REQUEST_TIMEOUT_MS, connection_options
from cutstream.clients.kafka.records import MAX_RECORD_BYTES
from cutstream.settings import KafkaSettings

DELIVERY_TIMEOUT_MS = 25_000  # two attempts, and what lies between them
CLOSE_S = 1.0  # a writer has had its acknowledgements, and a transaction that failed is not to be completed
_RECONNECT_PAUSE_S = 0.05


def make_producer(settings: KafkaSettings, **options: Any) -> Any:
    """Return a producer whose records are on all replicas in sync when they are acknowledged, once and in order.

    A record that is not acknowledged after 25 s fails, and so does a call that waits for the brokers.
    """
    producer = KafkaProducer(
        acks="all",
        enable_idempotence=True,
        retries=float("inf"),  # until the delivery's time is over
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=DELIVERY_TIMEOUT_MS,
        max_request_size=MAX_RECORD_BYTES,
        metrics_enabled=False,  # the client's own, which nobody reads
        **connection_options(settings),
        **options,
    )
    _keep_requests_of_lost_coordinators(producer)
    return producer


def close_producer(producer: Any, timeout_s: float) -> None:
    """End a producer and its thread. What it cannot send in time is dropped, and whoever waits for it is told so."""
    try:
        producer.close(timeout=timeout_s)
    except KafkaError:  # trap 9: it has given up before it ended its thread
        producer._sender.force_close()


def _keep_requests_of_lost_coordinators(producer: Any) -> None:
    """Let a failed connection be an answer: the sender looks for the coordinator and asks again.

    If it raises instead, the sender forgets the request, and whoever waits for its result waits for ever.
    """
    client = producer._sender._client
    await_ready = client.await_ready

    def ready(node_id: Any, timeout_ms: float = REQUEST_TIMEOUT_MS) -> bool:
        try:
            return bool(await_ready(node_id, timeout_ms=timeout_ms))
        except KafkaError:
            time.sleep(_RECONNECT_PAUSE_S)
            return False

    client.await_ready = ready
