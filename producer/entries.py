"""Reading the current entries of a compacted topic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from cutstream.clients.kafka import TopicReader
from cutstream.settings import KafkaSettings
from producer.reading import read_to_end

T = TypeVar("T")


def read_entries(
    settings: KafkaSettings, topic: str, apply: Callable[[dict[str, T], bytes | None, bytes], None]
) -> dict[str, T]:
    """Return the entries that remain after all records of the topic, sorted by name.

    Raises NoTopic and BrokerUnavailable.
    """
    entries: dict[str, T] = {}
    with closing(TopicReader(settings, topic)) as reader:
        reader.start()
        for records in read_to_end(settings, topic, reader):
            for record in records:
                apply(entries, record.key, record.value)
    return dict(sorted(entries.items()))
