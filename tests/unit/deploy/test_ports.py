"""Ports that are taken are named all at once, moved together, or replaced."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import Settings, StackSettings, WorkerSettings, as_environment, load
from deploy.local.inbox import inbox_of, with_inbox
from deploy.local.ports import check_stack_ports, with_free_ports
from deploy.local.running import gateway_server, worker_server
from tests.support.ports import free_ports, free_stack_ports


@pytest.fixture
def taken() -> Iterator[list[int]]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield [each.getsockname()[1] for each in sockets]


def settings_with(taken: list[int]) -> Settings:
    ports = free_stack_ports() | {"kafka_port": taken[0]}
    return Settings(stack=StackSettings(**ports), worker=WorkerSettings(port=taken[1]))


def test_all_ports_that_are_taken_are_named_at_once(taken: list[int]) -> None:
    with pytest.raises(StackError) as raised:
        check_stack_ports(settings_with(taken))
    message = str(raised.value)
    assert f"{taken[0]} (CUTSTREAM_STACK__KAFKA_PORT)" in message
    assert f"{taken[1]} (CUTSTREAM_WORKER__PORT)" in message
    assert "TRITON" not in message
    assert "GATEWAY" not in message
    assert "CUTSTREAM_STACK__PORT_OFFSET" in message


def test_a_stack_for_one_command_takes_free_ports_and_keeps_those_that_are_free(taken: list[int]) -> None:
    settings = settings_with(taken)
    free = with_free_ports(settings)
    check_stack_ports(free)
    assert free.stack.triton_grpc_port == settings.stack.triton_grpc_port
    assert free.stack.kafka_port != taken[0]
    assert free.worker.port != taken[1]


def test_one_setting_moves_all_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTSTREAM_STACK__PORT_OFFSET", "100")
    moved = load()
    assert (moved.stack.kafka_port, moved.stack.triton_grpc_port, moved.worker.port) == (19192, 18101, 9200)
    assert moved.gateway.port == 8180
    assert as_environment(moved)["CUTSTREAM_STACK__KAFKA_PORT"] == "19192"
    assert as_environment(moved).get("CUTSTREAM_STACK__PORT_OFFSET", "0") == "0", (
        "another process must not move them again"
    )
    for server in (worker_server(moved, ["worker"]), gateway_server(moved, ["gateway"])):
        with monkeypatch.context() as inherited:
            for name, value in server.environment.items():
                inherited.setenv(name, value)
            assert (load().worker.port, load().gateway.port) == (9200, 8180), f"{server.name} moves them again"
    monkeypatch.setenv("CUTSTREAM_WORKER__PORT", "0")
    assert load().worker.port == 0, "any free port"
    monkeypatch.setenv("CUTSTREAM_STACK__KAFKA_PORT", "65500")
    with pytest.raises(ConfigurationError, match="CUTSTREAM_STACK__PORT_OFFSET=100 leads beyond port 65535"):
        load()


def test_the_worker_may_read_its_inbox_and_nobody_else(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = Settings(stack=StackSettings(state=tmp_path / "state", kafka_port=port))
    (tmp_path / "state").mkdir(mode=0o700)
    served = with_inbox(settings)
    inbox = inbox_of(settings.stack, served.objects)
    assert inbox == tmp_path / "state" / "inbox"
    assert inbox.stat().st_mode & 0o777 == 0o700
    assert inbox_of(settings.stack, settings.objects) is None
