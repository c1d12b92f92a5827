from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

import pytest

from cutstream.clock import ManualClock
from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import (
    GatewaySettings,
    KafkaSettings,
    ObjectSettings,
    Settings,
    StackSettings,
    TritonSettings,
    WorkerSettings,
)
from deploy.local import stack
from deploy.local.allowed import noted
from deploy.local.process import ServerSpec
from deploy.local.running import running_stack
from deploy.local.stack import addressed, embedded_servers, local_stack
from deploy.local.state import lock_state, private_folder, throwaway
from tests.support.ports import free_ports


@pytest.fixture(autouse=True)
def shells_for_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def shell(name: str) -> ServerSpec:
        return ServerSpec(name, ["sleep", "97"], {}, tmp_path / f"{name}.log", lambda: True)

    monkeypatch.setattr(stack, "kafka_server", lambda _: shell("kafka"))
    monkeypatch.setattr(stack, "triton_server", lambda _: shell("triton"))
    monkeypatch.setattr(stack, "ensure_head_start", lambda *_: None)


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
        assert {folder.stat().st_mode & 0o777 for folder in (state, state / "logs")} == {0o700}
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
    with pytest.raises(StackError, match=message), throwaway(settings(tmp_path / "state")):
        pass


def test_a_state_that_cannot_be_locked_or_written_is_refused_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(StackError, match=r"CUTSTREAM_STACK__STATE=.* cannot be locked \(No locks available\)"),
        lock_state(tmp_path),
    ):
        pass
    monkeypatch.setattr("deploy.local.state.mkdtemp", refuse)
    with (
        pytest.raises(StackError, match=r"CUTSTREAM_STACK__STATE=.* cannot be written to"),
        throwaway(settings(tmp_path)),
    ):
        pass


def test_an_old_folder_is_closed_and_one_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir(mode=0o755)
    assert private_folder(tmp_path / "logs").stat().st_mode & 0o777 == 0o700

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(StackError, match=r"logs cannot be kept from other users \(.*\): .*CUTSTREAM_STACK__STATE"):
        private_folder(tmp_path / "logs")


def test_a_note_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "allowed.json").mkdir()
    with (
        pytest.raises(StackError, match=r"allowed\.json cannot be written \(Is a directory\): remove it"),
        noted(ObjectSettings(), StackSettings(state=tmp_path)),
    ):
        pass


def test_a_worker_that_cannot_be_asked_for_its_health_is_refused_before_anything_starts(tmp_path: Path) -> None:
    wrong = settings(tmp_path / "state").model_copy(update={"worker": WorkerSettings(port=0)})
    with (
        pytest.raises(ConfigurationError, match="CUTSTREAM_WORKER__PORT=0"),
        running_stack(wrong, ["worker"], prepare=lambda settings: pytest.fail("it prepares to start")),
    ):
        pass
    assert not (tmp_path / "state").exists()


def test_a_gateway_whose_port_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    wrong = settings(tmp_path / "state").model_copy(update={"gateway": GatewaySettings(port=port)})
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(StackError, match=rf"in use: .*\b{port} \(CUTSTREAM_GATEWAY__PORT\)"),
        running_stack(wrong, ["worker"], gateway_command=["gateway"]),
    ):
        pass
    none = settings(tmp_path / "state").model_copy(update={"gateway": GatewaySettings(port=0)})
    with (
        pytest.raises(ConfigurationError, match="CUTSTREAM_GATEWAY__PORT=0"),
        running_stack(none, ["w"], gateway_command=["g"]),
    ):
        pass


def old(folder: Path) -> None:
    os.utime(folder, (time.time() - 3600,) * 2)


def test_a_run_removes_its_folder_and_those_of_runs_that_were_killed(tmp_path: Path) -> None:
    for name in ("killed", "starting", "running"):
        folder = tmp_path / f"cutstream-run-{name}"
        (folder / "kafka").mkdir(parents=True)
        (folder / "stack.lock").touch()
    old(tmp_path / "cutstream-run-killed")
    with lock_state(tmp_path / "cutstream-run-running"):
        old(tmp_path / "cutstream-run-running")
        with throwaway(settings(tmp_path)) as own:
            assert own.stack.state.parent == tmp_path
            assert own.stack.state.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"cutstream-run-starting", "cutstream-run-running"}


def test_a_run_leaves_folders_alone_that_no_stack_has_locked(tmp_path: Path) -> None:
    names = {"run-2024", "kafka", "cutstream-run-report", "cutstream-run-link"}
    for name in ("run-2024", "kafka", "cutstream-run-report"):
        (tmp_path / name / "data").mkdir(parents=True)
    for locked in ("run-2024", "kafka"):
        (tmp_path / locked / "stack.lock").touch()
    (tmp_path / "cutstream-run-link").symlink_to("kafka")
    for name in names:
        old(tmp_path / name)
    with throwaway(settings(tmp_path)):
        pass
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "kafka" / "data").is_dir()


def test_a_folder_that_a_server_still_writes_to_is_left_to_the_next_run(tmp_path: Path) -> None:
    def refuse(path: object, **options: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    with pytest.MonkeyPatch.context() as patch, throwaway(settings(tmp_path)) as own:
        (own.stack.state / "kafka").mkdir()
        patch.setattr(os, "rmdir", refuse)
    assert own.stack.state.is_dir()
    old(own.stack.state)
    with throwaway(settings(tmp_path)):
        pass
    assert not own.stack.state.exists()
