"""A worker's copy of a topic follows the topic that has its name now."""

from __future__ import annotations

from contextlib import closing

import pytest

from consumer.resources.topic_copy import TopicCopy
from cutstream.clients.kafka import OutgoingRecord, RecordWriter, ensure_topics
from cutstream.settings import KafkaSettings
from tests.support.group import delete_topics, wait_until

pytestmark = pytest.mark.kafka


def put(settings: KafkaSettings, *keys: bytes) -> None:
    writer = RecordWriter(settings)
    writer.start()
    with closing(writer):
        writer.write(OutgoingRecord(settings.cancellations_topic, key, b"x") for key in keys)


def apply(entries: dict[str, bytes], key: bytes | None, value: bytes) -> None:
    entries[(key or b"").decode()] = value


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(kafka_settings, fresh_name) -> None:
    """It has fewer records than the one before, and yet what they say counts at once."""
    settings = kafka_settings.model_copy(update={"cancellations_topic": fresh_name("cancellations")})
    ensure_topics(settings)
    put(settings, *(b"%d" % number for number in range(5)))
    with closing(TopicCopy(settings, settings.cancellations_topic, "copy", apply)) as copy:
        copy.start()
        wait_until(lambda: len(copy.entries or ()) == 5, "the topic is not read")
        delete_topics(settings, settings.cancellations_topic)
        ensure_topics(settings)
        put(settings, b"new")
        wait_until(lambda: set(copy.entries or ()) == {"new"}, "the copy is of the topic before", 45)
