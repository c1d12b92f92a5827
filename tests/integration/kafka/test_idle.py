"""Connections that have been idle: they stay, since strangers may hold all others that the broker takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader, ensure_topics
from cutstream.settings import KafkaSettings, StackSettings
from deploy.local import kafka
from deploy.local.kafka import is_ready, kafka_address, kafka_server
from deploy.local.process import Supervisor
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

IDLE_S = 1.5
REQUEST_MS = 1_000
MOST = 40


@pytest.fixture
def stack(tmp_path: Path, jars: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackSettings]:
    """A broker of its own, which takes few connections."""
    monkeypatch.setitem(kafka.PROPERTIES, "max.connections", MOST)
    settings = StackSettings(state=tmp_path, private=False, jars=jars, **free_stack_ports())
    with Supervisor(60) as supervisor:
        supervisor.start(kafka_server(settings))
        yield settings


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kafka-python by itself close what was idle for 1.5 s, in place of 9 min."""
    for client in (KafkaProducer, KafkaConsumer):
        monkeypatch.setitem(client.DEFAULT_CONFIG, "connections_max_idle_ms", int(1000 * IDLE_S))
    monkeypatch.setattr("cutstream.clients.kafka.connection.REQUEST_TIMEOUT_MS", REQUEST_MS)


def connections(port: int) -> set[int]:
    """Return the local ports of this process's connections to the broker."""
    found = psutil.Process().net_connections("tcp")
    return {each.laddr.port for each in found if each.status == psutil.CONN_ESTABLISHED and each.raddr.port == port}


def test_a_client_that_was_idle_goes_on_while_strangers_hold_all_other_connections(
    stack: StackSettings, impatient: None
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka_address(stack))
    ensure_topics(settings)
    with ExitStack() as held:
        writer, reader = RecordWriter(settings), TopicReader(settings, settings.requests_topic)
        for client in (writer, reader):
            held.enter_context(closing(client))
            client.start()
        record = OutgoingRecord(settings.requests_topic, None, b"{}")
        writer.write([record])
        own = connections(stack.kafka_port)
        assert own
        with suppress(OSError):  # it takes no more
            for _ in range(4 * MOST):
                held.enter_context(socket.create_connection(("127.0.0.1", stack.kafka_port), timeout=1))
        time.sleep(3 * IDLE_S)
        assert own <= connections(stack.kafka_port)
        assert not is_ready(stack.kafka_port)  # for who is new
        writer.write([record])
        values: list[bytes] = []
        while len(values) < 2:
            values += [each.value for each in reader.poll(1.0)]


def test_the_local_broker_closes_no_idle_connection(stack: StackSettings) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_address(stack))) as admin:
        described = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1", None)], config_filter="all")
    assert described["broker"]["1"]["connections.max.idle.ms"]["value"] == str(2**31 - 1)
