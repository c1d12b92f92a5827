"""Reading and writing the entries of a compacted topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TypeVar

from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader, UnreadableRecords
from cutstream.errors import BrokerUnavailable, CutstreamError
from cutstream.settings import KafkaSettings
from producer.reading import read_to_end

T = TypeVar("T")


class NothingFound(CutstreamError):
    """A topic does not have what a command asks for."""

    code = "nothing_found"


def read_entries(
    settings: KafkaSettings, topic: str, apply: Callable[[dict[str, T], bytes | None, bytes], None]
) -> dict[str, T]:
    """Return the entries that remain after all records of the topic, sorted by name.

    Raises NoTopic, UnreadableRecords and BrokerUnavailable.
    """
    entries: dict[str, T] = {}
    with closing(TopicReader(settings, topic)) as reader:
        reader.start()
        for records in read_to_end(settings, topic, reader):
            for record in records:
                apply(entries, record.key, record.value)
    return dict(sorted(entries.items()))


def write_entries(settings: KafkaSettings, topic: str, entries: Mapping[str, bytes | None]) -> None:
    """Write entries by their names, and None for those to remove. Return once every reader can see them.

    Raises BrokerUnavailable, also if the entries are written but an open transaction of another program, or a record
    that cannot be read, hides them.
    """
    with closing(RecordWriter(settings)) as writer:
        writer.start()
        writer.write(OutgoingRecord(topic, name.encode(), value) for name, value in entries.items())
    try:
        # From its beginning, as the workers do: an unreadable record anywhere keeps them from what follows.
        with closing(TopicReader(settings, topic, settled=True)) as reader:
            reader.start()
            for _ in read_to_end(settings, topic, reader):
                pass
    except (BrokerUnavailable, UnreadableRecords) as exc:
        raise BrokerUnavailable(f"written, but not seen by the workers yet: {exc}") from exc
