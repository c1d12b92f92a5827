from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from cutstream.clock import ManualClock
from cutstream.errors import StackError
from cutstream.settings import KafkaSettings, Settings, StackSettings, TritonSettings
from deploy.local import stack
from deploy.local.process import ServerSpec
from deploy.local.stack import addressed, embedded_servers, local_stack
from deploy.local.state import lock_state, throwaway


@pytest.fixture(autouse=True)
def shells_for_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def shell(name: str) -> ServerSpec:
        return ServerSpec(name, ["sleep", "97"], {}, tmp_path / f"{name}.log", lambda: True)

    monkeypatch.setattr(stack, "kafka_server", lambda _: shell("kafka"))
    monkeypatch.setattr(stack, "triton_server", lambda _: shell("triton"))


def settings(state: Path, brokers: str = "", triton: str = "") -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=brokers),
        triton=TritonSettings(url=triton),
        stack=StackSettings(state=state, kafka_port=1001, triton_grpc_port=1002),
    )


@pytest.mark.parametrize(
    ("brokers", "triton", "embedded"),
    [
        ("", "", ["kafka", "triton"]),
        ("broker:9092", "", ["triton"]),
        ("", "triton:8001", ["kafka"]),
        ("broker:9092", "triton:8001", []),
    ],
)
def test_a_server_is_embedded_unless_the_settings_name_one(
    tmp_path: Path, brokers: str, triton: str, embedded: list[str]
) -> None:
    given = settings(tmp_path, brokers, triton)
    assert [server.name for server in embedded_servers(given)] == embedded
    effective = addressed(given)
    assert effective.kafka.bootstrap_servers == (brokers or "127.0.0.1:1001")
    assert effective.triton.url == (triton or "127.0.0.1:1002")
    assert effective.stack == given.stack


def test_the_stack_says_where_it_is_and_stops_when_left(tmp_path: Path) -> None:
    state = tmp_path / "a" / "new" / "folder"
    with local_stack(settings(state), ManualClock()) as running:
        assert running.settings.kafka.bootstrap_servers == "127.0.0.1:1001"
        assert running.settings.triton.url == "127.0.0.1:1002"
        assert running.supervisor.dead() == ()
        assert set(running.supervisor.ready_s) == {"kafka", "triton"}
    with lock_state(state):
        pass  # free again


def test_a_second_stack_on_one_folder_is_refused(tmp_path: Path) -> None:
    with (
        lock_state(tmp_path),
        pytest.raises(StackError, match=rf"already runs on .* \(process {os.getpid()}\): .*CUTSTREAM_STACK__STATE"),
        local_stack(settings(tmp_path), prepare=lambda settings: pytest.fail("the running stack's folder was changed")),
    ):
        pass


def test_a_state_that_is_a_file_is_refused_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    message = r"CUTSTREAM_STACK__STATE=.*state cannot be made a folder \(File exists\)"
    with pytest.raises(StackError, match=message), lock_state(tmp_path / "state"):
        pass


def test_a_run_removes_its_folder_and_those_of_runs_that_were_killed(tmp_path: Path) -> None:
    for name, age_s in (("run-killed", 3600), ("run-starting", 0), ("run-running", 3600), ("kafka", 3600)):
        (tmp_path / name / "data").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    with lock_state(tmp_path / "run-running"):
        os.utime(tmp_path / "run-running", (time.time() - 3600,) * 2)
        with throwaway(settings(tmp_path)) as own:
            assert own.stack.state.parent == tmp_path
            assert own.stack.state.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"run-starting", "run-running", "kafka"}


def test_a_folder_that_a_server_still_writes_to_is_left_to_the_next_run(tmp_path: Path, monkeypatch) -> None:
    def refuse(path: object, **options: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    with throwaway(settings(tmp_path)) as own:
        monkeypatch.setattr(os, "rmdir", refuse)
    assert own.stack.state.is_dir()
