from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cutstream.errors import ConfigurationError
from cutstream.settings import StackSettings
from deploy.local.kafka import format_storage, is_ready, java, java_command, render
from tests.support.ports import free_ports


def reply_once(server: socket.socket, reply: bytes) -> bytes:
    connection, _ = server.accept()
    with connection:
        request = connection.recv(1024)
        connection.sendall(reply)
        return request


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (struct.pack(">iii", 100, 0, 1), True),
        (struct.pack(">iii", 100, 0, 0), False),  # the broker is up, but not yet admitted to its cluster
        (b"", False),  # it hangs up
    ],
)
def test_ready_is_a_broker_that_counts_itself_as_alive(reply: bytes, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        request = pool.submit(reply_once, server, reply)
        assert is_ready(server.getsockname()[1]) is ready
        sent = request.result()
    assert struct.unpack(">i", sent[:4])[0] == len(sent) - 4


def test_nobody_listening_is_not_ready() -> None:
    assert not is_ready(free_ports(1)[0])


def test_only_loopback_is_listened_on(tmp_path: Path) -> None:
    settings = StackSettings(kafka_port=1234, kafka_controller_port=1235)
    properties = dict(line.split("=", 1) for line in render(settings, tmp_path).splitlines())
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:1235"
    assert properties["controller.quorum.bootstrap.servers"] == "127.0.0.1:1235"
    assert properties["auto.create.topics.enable"] == "false"


def test_a_java_of_the_users_own_is_taken() -> None:
    assert java(StackSettings(java=Path("/opt/java/bin/java"))) == Path("/opt/java/bin/java")
    assert java(StackSettings()).name == "java"


def test_a_java_that_cannot_run_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    command = java_command(StackSettings(java=tmp_path / "none"), [])
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_STACK__JAVA: cannot run .*none: No such file"):
        format_storage(command, tmp_path / "server.properties")
