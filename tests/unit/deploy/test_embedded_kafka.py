from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cutstream.errors import ConfigurationError
from cutstream.settings import StackSettings
from deploy.local.java import java, java_command
from deploy.local.kafka import (
    Cluster,
    Node,
    configuration,
    format_storage,
    is_ready,
    write_properties,
)
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
    node = Node(1, "127.0.0.1", 1234, 1235)
    properties = configuration(node, Cluster((node,)), tmp_path)
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:1235"
    assert properties["controller.quorum.bootstrap.servers"] == "127.0.0.1:1235"
    assert properties["auto.create.topics.enable"] == "false"


def test_a_folder_of_any_name_is_written_as_java_reads_it(tmp_path: Path) -> None:
    write_properties(tmp_path / "file", {"log.dirs": Path("/état \\u0041/😀")})
    assert (tmp_path / "file").read_text() == "log.dirs=/\\u00e9tat \\\\u0041/\\ud83d\\ude00\n"


@pytest.mark.parametrize(("count", "in_sync"), [(1, 1), (3, 2)])
def test_every_topic_has_a_replica_on_each_node_and_can_lose_one(tmp_path: Path, count: int, in_sync: int) -> None:
    cluster = Cluster(tuple(Node(number, f"127.0.0.{number}", 9092, 9093) for number in range(1, count + 1)))
    properties = configuration(cluster.nodes[-1], cluster, tmp_path)
    assert properties["node.id"] == count
    assert properties["listeners"] == f"PLAINTEXT://127.0.0.{count}:9092,CONTROLLER://127.0.0.{count}:9093"
    assert properties["controller.quorum.bootstrap.servers"].count(":9093") == count
    topics = ("default", "offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    assert {properties[f"{name}.replication.factor"] for name in topics} == {count}
    names = ("min.insync.replicas", "transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr")
    assert {properties[name] for name in names} == {in_sync}


def test_a_java_of_the_users_own_is_taken() -> None:
    assert java(StackSettings(java=Path("/opt/java/bin/java"))) == Path("/opt/java/bin/java")
    assert java(StackSettings()).name == "java"


def test_a_java_that_cannot_run_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    command = java_command(StackSettings(java=tmp_path / "none"), [])
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_STACK__JAVA: cannot run .*none: No such file"):
        format_storage(Cluster(()), command, tmp_path / "server.properties")
