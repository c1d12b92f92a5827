"""A stack that starts all at once, with small shells in place of its servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cutstream.clients import kafka
from cutstream.errors import StackError
from cutstream.settings import KafkaSettings, Settings, StackSettings
from deploy.local import running, stack
from deploy.local.process import ServerSpec
from deploy.local.running import RunningStack, launched_stack, running_stack
from tests.support.group import wait_until


class Shells:
    """Servers that note when they start, and are healthy once they are said to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.events: list[str] = []
        self.healthy = {"kafka", "triton", "worker"}
        self.scripts = dict.fromkeys(self.healthy, "sleep 97")
        self.on_start: dict[str, Callable[[], object]] = {}

    def spec(self, name: str) -> ServerSpec:
        def ready() -> bool:
            if name in self.healthy and f"{name} is healthy" not in self.events:
                self.events.append(f"{name} is healthy")
            return name in self.healthy

        def prepare() -> None:
            self.events.append(f"{name} starts")
            self.on_start.get(name, lambda: None)()

        return ServerSpec(
            name,
            ["bash", "-c", self.scripts[name]],
            {},
            self._folder / "state" / "logs" / f"{name}.log",
            ready,
            prepare=prepare,
        )

    @contextmanager
    def launched(self) -> Iterator[RunningStack]:
        settings = Settings(stack=StackSettings(state=self._folder / "state", private=False))
        prepare = lambda settings: self.events.append("models are rendered")  # noqa: E731
        with launched_stack(settings, ["worker"], self.events.append, prepare, kills=True) as launched:
            yield launched


@pytest.fixture
def shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shells:
    shells = Shells(tmp_path)
    monkeypatch.setattr(stack, "ensure_head_start", lambda *_: None)
    monkeypatch.setattr(stack, "kafka_server", lambda settings: shells.spec("kafka"))
    monkeypatch.setattr(stack, "triton_server", lambda settings: shells.spec("triton"))
    monkeypatch.setattr(running, "worker_server", lambda settings, command: shells.spec("worker"))
    monkeypatch.setattr(running, "check_stack_ports", lambda *_: None)

    def make_topics(settings: KafkaSettings) -> None:
        shells.events.append("topics are made")

    monkeypatch.setattr(kafka, "ensure_topics", make_topics)
    return shells


def test_everything_starts_at_once_and_requests_can_be_sent_before_the_worker_is_healthy(
    shells: Shells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_CORES_FOR_ALL", 0)
    shells.healthy -= {"worker", "triton"}
    with shells.launched() as launched:
        launched.check()
        assert set(launched.supervisor.poll()) == {"triton", "worker"}
    assert shells.events == [
        "kafka starts",
        "worker starts",
        "models are rendered",
        "triton starts",
        "kafka is healthy",
        "topics are made",
    ]


def test_with_few_cores_triton_starts_when_kafka_is_up(shells: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_CORES_FOR_ALL", 100_000)
    with shells.launched():
        pass
    assert shells.events.index("kafka is healthy") < shells.events.index("triton starts")


def test_with_few_cores_triton_starts_before_that_if_the_worker_has_loaded_its_code(
    shells: Shells, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worker(settings: Settings, command: object) -> ServerSpec:
        return replace(shells.spec("worker"), answers=lambda: "worker starts" in shells.events)

    monkeypatch.setattr(running, "_CORES_FOR_ALL", 100_000)
    monkeypatch.setattr(running, "worker_server", worker)
    shells.healthy.discard("kafka")
    shells.on_start["triton"] = lambda: shells.healthy.add("kafka")
    with shells.launched():
        pass
    assert shells.events.index("triton starts") < shells.events.index("kafka is healthy")


def test_a_worker_that_ends_while_it_starts_is_told_by_the_next_check(shells: Shells) -> None:
    shells.healthy.discard("worker")
    shells.scripts["worker"] = "echo no such setting; exit 78"
    with shells.launched() as launched:
        wait_until(lambda: launched.supervisor.exit_code("worker") is not None, "it does not end")
        with pytest.raises(StackError, match="worker ended with code 78 before it was ready"):
            launched.check()


def test_a_running_stack_has_nothing_that_still_starts(shells: Shells, tmp_path: Path) -> None:
    settings = Settings(stack=StackSettings(state=tmp_path / "state", private=False))
    with running_stack(settings, ["worker"]) as launched:
        assert {server.name for server in launched.supervisor.servers} == {"kafka", "triton", "worker"}
        assert launched.ready_s > 0
        launched.end()
        assert launched.supervisor.servers == ()
