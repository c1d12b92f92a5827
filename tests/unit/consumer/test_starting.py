from __future__ import annotations

import logging
import threading
import time

import pytest

from consumer import starting
from consumer.starting import StartPeriod, start_with_broker
from cutstream.clients.kafka import NoTopic
from cutstream.clock import ManualClock
from cutstream.errors import BrokerUnavailable, ConfigurationError


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "backoff_s", lambda attempt: 0.0)


def failing(*errors: Exception | None):
    left = list(errors)

    def start() -> None:
        if error := left.pop(0):
            raise error

    return start


def test_a_missing_broker_is_waited_for_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    away = BrokerUnavailable("no Kafka broker answers")
    assert start_with_broker(failing(away, away, away, None), threading.Event())
    assert caplog.messages == ["waiting for the broker: no Kafka broker answers", "the broker answers"]


def test_a_broker_that_is_there_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert start_with_broker(failing(None), threading.Event())
    assert caplog.messages == []


def test_a_start_that_hangs_is_left_when_asked_to_stop() -> None:
    stop, release = threading.Event(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert not start_with_broker(lambda: release.wait(60) and None, stop)
    release.set()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("error", [ConfigurationError("no such topic"), TimeoutError("its own")])
def test_another_error_ends_the_wait(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        start_with_broker(failing(error), threading.Event())


def test_in_the_start_period_missing_servers_and_topics_are_waited_for_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    period = StartPeriod(60, clock := ManualClock())
    away, none = BrokerUnavailable("no Kafka broker answers"), NoTopic("missing topics: cutout.requests")
    assert start_with_broker(failing(away, none, away, None), threading.Event(), period.excuses)
    assert caplog.messages == []
    clock.sleep(61)
    with pytest.raises(NoTopic):
        start_with_broker(failing(none), threading.Event(), period.excuses)
    assert start_with_broker(failing(away, None), threading.Event(), period.excuses)
    assert caplog.messages == ["waiting for the broker: no Kafka broker answers", "the broker answers"]


def test_the_start_period_excuses_no_wrong_setting() -> None:
    period = StartPeriod(60, ManualClock())
    with pytest.raises(ConfigurationError, match="no right"):
        start_with_broker(failing(ConfigurationError("no right")), threading.Event(), period.excuses)
    assert not StartPeriod(0, ManualClock()).lasts


def test_without_a_start_period_a_missing_topic_ends_the_start() -> None:
    with pytest.raises(NoTopic):
        start_with_broker(failing(NoTopic("missing topics")), threading.Event())
