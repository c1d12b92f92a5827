from __future__ import annotations

import pytest

from cutstream.clients.kafka import check_topics, ensure_topics
from cutstream.errors import ConfigurationError

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
