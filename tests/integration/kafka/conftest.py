from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from cutstream.clients.kafka import ensure_topics
from cutstream.settings import KafkaSettings


@pytest.fixture
def one_partition(kafka_settings: KafkaSettings, fresh_name: Callable[[str], str]) -> KafkaSettings:
    """One request partition, so that it has one owner. Heartbeats are so rare that no test depends on their timing."""
    settings = kafka_settings.model_copy(
        update={"partitions": 1, "requests_topic": fresh_name("requests"), "session_timeout_s": 40.0}
    )
    ensure_topics(settings)
    return settings


@pytest.fixture
def opened() -> Iterator[Callable]:
    """Starts a client of the product and takes one of kafka-python as it is. Closes it after the test."""
    with ExitStack() as stack:

        def open_client(client):
            stack.enter_context(closing(client))
            if hasattr(client, "start"):
                client.start()
            return client

        yield open_client
