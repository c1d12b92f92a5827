"""Which stack an evaluation goes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from cutstream import cli
from cutstream.clients import kafka
from cutstream.errors import BrokerUnavailable, ConfigurationError
from cutstream.settings import KafkaSettings, Settings, StackSettings
from deploy.local import running
from producer.evaluation.folder import Example


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each stack that was started."""
    stacks: list[Settings] = []

    @contextmanager
    def starting(settings: Settings) -> Iterator[SimpleNamespace]:
        stacks.append(settings)
        yield SimpleNamespace(settings=settings, check=lambda: None)

    monkeypatch.setattr(running, "running_stack", starting)
    monkeypatch.setattr(cli, "rendered", lambda settings: settings)
    return stacks


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example("a", tmp_path / "a.jpg", tmp_path / "a.png")


def broker(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[str]:
    asked: list[str] = []

    def check(settings: KafkaSettings) -> None:
        asked.append(settings.bootstrap_servers)
        if error:
            raise error

    monkeypatch.setattr(kafka, "check_topics", check)
    return asked


def test_the_running_stack_is_used(monkeypatch, started, example, tmp_path: Path) -> None:
    asked = broker(monkeypatch, None)
    with cli.serving(Settings(), [example], "general", tmp_path) as (settings, _):
        assert asked == [settings.kafka.bootstrap_servers] == ["127.0.0.1:19092"]
    assert started == []


def test_without_one_it_starts_its_own_in_a_state_of_its_own(monkeypatch, started, example, tmp_path: Path) -> None:
    broker(monkeypatch, BrokerUnavailable("nobody"))
    state = tmp_path / "state"
    with cli.serving(Settings(stack=StackSettings(state=state)), [example], "general", tmp_path) as (settings, _):
        assert started == [settings]
        assert settings.stack.state.parent == state
        assert settings.objects.destination == tmp_path.as_uri()
    assert list(state.iterdir()) == []


def test_a_broker_that_was_named_is_not_replaced(monkeypatch, started, example, tmp_path: Path) -> None:
    broker(monkeypatch, BrokerUnavailable("nobody"))
    named = Settings(kafka=KafkaSettings(bootstrap_servers="broker:9092"))
    with pytest.raises(BrokerUnavailable), cli.serving(named, [example], None, tmp_path):
        pass
    assert started == []


def test_a_running_broker_without_topics_says_so(monkeypatch, started, example, tmp_path: Path) -> None:
    broker(monkeypatch, ConfigurationError("no such topics"))
    with pytest.raises(ConfigurationError), cli.serving(Settings(), [example], None, tmp_path):
        pass
    assert started == []
