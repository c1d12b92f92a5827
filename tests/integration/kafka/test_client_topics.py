from __future__ import annotations

from contextlib import closing

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from cutstream.clients.kafka import check_topics, ensure_topics, topics_with_senders_times
from cutstream.errors import ConfigurationError
from tests.support.foreign_clients.log_forms import log_folder

pytestmark = pytest.mark.kafka


def test_missing_topics_are_named_with_the_command_that_creates_them(kafka_settings, fresh_name) -> None:
    settings = kafka_settings.model_copy(update={"results_topic": fresh_name("nowhere")})
    with pytest.raises(ConfigurationError, match=rf"{settings.results_topic}.*cutstream topics create") as raised:
        check_topics(settings)
    assert kafka_settings.requests_topic not in str(raised.value)
    ensure_topics(settings)
    check_topics(settings)


def test_existing_topics_stay_as_they_are(kafka_settings) -> None:
    ensure_topics(kafka_settings.model_copy(update={"partitions": 9}))
    check_topics(kafka_settings)


def test_the_times_of_strangers_are_those_of_the_broker_and_of_retries_those_of_the_worker(kafka_settings) -> None:
    """With a sender's times, each record could begin a segment: 40,000 of them took all file descriptors."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka_settings.bootstrap_servers)) as admin:
        s = kafka_settings
        given = (s.requests_topic, s.urgent_topic, s.cancellations_topic, s.backgrounds_topic, s.retry_topic)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in given]
        found = admin.describe_configs(asked, config_filter="all")["topic"]
    times = [found[name]["message.timestamp.type"]["value"] for name in given]
    assert times == ["LogAppendTime"] * 4 + ["CreateTime"]


def test_topics_with_the_times_of_senders_are_named(kafka_settings, fresh_name) -> None:
    assert topics_with_senders_times(kafka_settings) == []
    topic = fresh_name("requests")
    settings = kafka_settings.model_copy(update={"requests_topic": topic})
    with closing(KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(topic, 1, 1, None, {"message.timestamp.type": "CreateTime"})])
    ensure_topics(settings)
    assert topics_with_senders_times(settings) == [topic]


def test_times_that_are_days_apart_begin_no_segments(kafka_settings) -> None:
    days = 8 * 24 * 3600 * 1000
    with closing(KafkaProducer(bootstrap_servers=kafka_settings.bootstrap_servers)) as producer:
        for number in range(20):
            sent = producer.send(kafka_settings.requests_topic, b"x", partition=0, timestamp_ms=number * days)
            sent.get(timeout=30)
    log = log_folder(kafka_settings.bootstrap_servers) / f"{kafka_settings.requests_topic}-0"
    assert len(list(log.glob("*.log"))) == 1
