"""Find out which requests are in Kafka already, after a write whose outcome nobody knows."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

from cutstream.clients.kafka import TopicReader
from cutstream.settings import KafkaSettings
from producer.reading import read_to_end


def find_written(settings: KafkaSettings, topic: str, ids: Collection[str], since_ms: int) -> set[str]:
    """Return which of these requests are on a topic, by their keys, among the records since a time.

    Reads as much of the topic as was written since. Raises NoTopic and BrokerUnavailable.
    """
    wanted = {id.encode(): id for id in ids}
    found: set[str] = set()
    with closing(TopicReader(settings, topic, since_ms=since_ms)) as reader:
        reader.start()
        for records in read_to_end(settings, topic, reader):
            found.update(wanted[record.key] for record in records if record.key in wanted)
    return found
