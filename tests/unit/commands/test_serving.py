"""The choice of the stack that an evaluation uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import serving as commands_serving
from cutstream.clients import kafka
from cutstream.errors import BrokerUnavailable, InvalidProfile
from cutstream.settings import KafkaSettings, Settings, StackSettings
from deploy.local import kafka as local
from deploy.local import running
from evaluation.folder import Example


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Record the settings of each stack that is started."""
    stacks: list[Settings] = []

    @contextmanager
    def starting(settings: Settings, *rest: object) -> Iterator[SimpleNamespace]:
        stacks.append(settings)
        yield SimpleNamespace(settings=settings, check=lambda: None, end=lambda: None)

    monkeypatch.setattr(running, "running_stack", starting)
    return stacks


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example("a", tmp_path / "a.jpg", tmp_path / "a.png")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the brokers whose topics are checked."""
    brokers: list[str] = []
    monkeypatch.setattr(kafka, "check_topics", lambda settings: brokers.append(settings.bootstrap_servers))
    return brokers


@pytest.fixture
def local_kafka(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda runs: monkeypatch.setattr(
        local, "is_ready", lambda port, identity: runs and port == 19092 and identity
    )


def test_the_running_stack_is_used(local_kafka, checked, started, example, tmp_path: Path) -> None:
    local_kafka(True)
    with commands_serving.serving_stack(Settings(), [example], "general", tmp_path) as (settings, _):
        assert checked == [settings.kafka.bootstrap_servers] == ["127.0.0.1:19092"]
    assert started == []


def test_without_a_running_stack_one_is_started_with_its_own_state(
    local_kafka, checked, started, example, tmp_path: Path
) -> None:
    local_kafka(False)
    state = tmp_path / "state"
    with commands_serving.serving_stack(Settings(stack=StackSettings(state=state)), [example], "fast", tmp_path) as (
        settings,
        _,
    ):
        assert started == [settings]
        assert settings.stack.state.parent == state
        assert settings.objects.destination == tmp_path.as_uri()
    assert list(state.iterdir()) == []
    assert checked == []


def test_a_broker_in_the_settings_is_never_replaced(local_kafka, monkeypatch, started, example, tmp_path: Path) -> None:
    local_kafka(False)

    def away(settings: KafkaSettings) -> None:
        raise BrokerUnavailable(settings.bootstrap_servers)

    monkeypatch.setattr(kafka, "check_topics", away)
    named = Settings(kafka=KafkaSettings(bootstrap_servers="broker:9092"))
    with (
        pytest.raises(BrokerUnavailable, match="broker:9092"),
        commands_serving.serving_stack(named, [example], None, tmp_path),
    ):
        pass
    assert started == []


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, dict[str, object]]]:
    """Record the settings and options of each stack that is started for a command that cuts photos out."""
    stacks: list[tuple[Settings, dict[str, object]]] = []

    @contextmanager
    def starting(settings: Settings, *rest: object, **options: object) -> Iterator[SimpleNamespace]:
        stacks.append((settings, options))
        yield SimpleNamespace(settings=settings, check=lambda: None, end=lambda: None)

    monkeypatch.setattr(running, "launched_stack", starting)
    return stacks


def test_a_stack_for_one_photo_is_small_and_serves_the_profile_that_is_named(launched, tmp_path: Path) -> None:
    given, photos, said = Settings(stack=StackSettings(state=tmp_path / "state")), tmp_path / "photos", []
    with commands_serving.cutting_stack(given, [photos], "precise", said.append, for_one=True) as (stream, _):
        assert photos in stream.workers_objects.file_roots
    ((settings, options),) = launched
    assert (settings.models.profiles, settings.models.default_profile) == (("precise",), "precise")
    assert (settings.kafka.partitions, settings.worker.decoders, settings.page.enabled) == (1, 1, False)
    assert options == {"kills": True}
    assert "starting Kafka" in said[0]
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("profile", [None, "auto"])
def test_a_stack_for_a_folder_is_that_of_the_settings_on_other_ports(launched, tmp_path: Path, profile) -> None:
    given = Settings(stack=StackSettings(state=tmp_path / "state"))
    for _ in range(2):
        with commands_serving.cutting_stack(given, [tmp_path], profile, lambda text: None):
            pass
    (one, _), (two, _) = launched
    assert one.models == given.models
    assert one.kafka.partitions == given.kafka.partitions
    ports = [{settings.stack.kafka_port, settings.stack.triton_grpc_port} for settings in (given, one, two)]
    assert len(set().union(*ports)) == 6, "commands that start at the same moment do not meet"


def test_a_profile_that_does_not_exist_costs_no_start(launched, tmp_path: Path) -> None:
    given, said = Settings(stack=StackSettings(state=tmp_path / "state")), []
    with pytest.raises(InvalidProfile, match="bset"), commands_serving.cutting_stack(given, [], "bset", said.append):
        pass
    assert launched == said == []
    assert not (tmp_path / "state").exists()
