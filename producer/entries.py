"""Reading the current entries of a compacted topic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from cutstream.clients.kafka import TopicReader
from cutstream.settings import KafkaSettings

T = TypeVar("T")

_POLL_S = 0.2


def read_entries(
    settings: KafkaSettings, topic: str, apply: Callable[[dict[str, T], bytes | None, bytes], None]
) -> dict[str, T]:
    """Return the entries that remain after all records of the topic, sorted by name. Raises NoTopic."""
    entries: dict[str, T] = {}
    with closing(TopicReader(settings, topic)) as reader:
        reader.start()
        while not reader.caught_up:
            for record in reader.poll(_POLL_S):
                apply(entries, record.key, record.value)
    return dict(sorted(entries.items()))
