"""The embedded broker: records survive stops and crashes, and only loopback can connect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from cutstream.settings import StackSettings, identity_of
from deploy.local.kafka import kafka_address, kafka_server
from deploy.local.process import Supervisor
from tests.support.ports import free_ports, free_stack_ports

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(tmp_path: Path, jars: Path) -> StackSettings:
    return StackSettings(state=tmp_path, private=False, jars=jars, **free_stack_ports())


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(60) as supervisor:
        yield supervisor


def write_committed(address: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=address, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.send(topic, value)
    producer.commit_transaction()
    producer.close()


def read_committed(address: str, topic: str, count: int, **options: object) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=address,
        isolation_level="read_committed",
        consumer_timeout_ms=60_000,  # a broker that was killed first finishes the transactions it had begun to commit
        enable_auto_commit=False,
        **options,
    )
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    values = [record.value for _, record in zip(range(count), consumer, strict=False)]
    consumer.close()
    return values


def make_topic(address: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()


def kill_broker(supervisor: Supervisor) -> None:
    for process in psutil.Process(supervisor.pid("kafka")).children():
        process.kill()
    supervisor.stop("kafka")


def test_records_survive_a_stop_a_crash_and_a_change_of_ports(settings: StackSettings, supervisor: Supervisor) -> None:
    values = [b"%d" % n for n in range(100)]
    supervisor.start(kafka_server(settings))
    make_topic(kafka_address(settings), "kept")
    write_committed(kafka_address(settings), "kept", values)
    supervisor.stop("kafka")

    supervisor.start(kafka_server(settings))
    assert read_committed(kafka_address(settings), "kept", 100) == values
    write_committed(kafka_address(settings), "kept", values)
    kill_broker(supervisor)

    port, controller_port = free_ports(2)
    moved = settings.model_copy(update={"kafka_port": port, "kafka_controller_port": controller_port})
    supervisor.start(kafka_server(moved))
    assert read_committed(kafka_address(moved), "kept", 200) == values + values


def test_records_survive_when_a_stack_becomes_private_and_open_again(
    settings: StackSettings, supervisor: Supervisor
) -> None:
    values = [b"%d" % n for n in range(10)]
    address, private = kafka_address(settings), settings.model_copy(update={"private": True})
    supervisor.start(kafka_server(settings))
    make_topic(address, "kept")
    write_committed(address, "kept", values)
    supervisor.stop("kafka")

    supervisor.start(kafka_server(private))
    identity = str(identity_of(private))
    tls = {"security_protocol": "SSL", "ssl_cafile": identity, "ssl_certfile": identity}
    assert read_committed(address, "kept", 10, **tls) == values
    supervisor.stop("kafka")

    supervisor.start(kafka_server(settings))
    assert read_committed(address, "kept", 10) == values


def test_a_broker_that_is_ready_creates_topics_at_once(settings: StackSettings, supervisor: Supervisor) -> None:
    supervisor.start(kafka_server(settings))
    make_topic(kafka_address(settings), "first")


def test_a_head_start_is_used_from_the_first_start_on(
    kafka: str, settings: StackSettings, supervisor: Supervisor
) -> None:
    """The session's broker has made it, with the real JVM."""
    server = kafka_server(settings)
    assert any(option.startswith("-XX:AOTCache=") for option in server.command)
    metadata = settings.state / "kafka" / "data" / "meta.properties"
    formatted = metadata.read_text()
    supervisor.start(server)
    log = server.log.read_text()
    assert f"clusterId {formatted.split('cluster.id=')[1].split()[0]}" in log
    assert "[warning]" not in log
    other = kafka_server(settings.model_copy(update={"state": settings.state / "other"}))
    assert other.cwd
    assert (other.cwd / "data" / "meta.properties").read_text() != formatted, "each cluster has a name of its own"


def test_a_cache_that_fits_no_java_is_no_obstacle(settings: StackSettings, supervisor: Supervisor) -> None:
    """As after a change that the head start's name does not show."""
    server = kafka_server(settings)
    wrong = settings.state / "wrong.aot"
    wrong.write_bytes(bytes(100_000))
    options = [option for option in server.command[1:] if "AOTCache" not in option]
    supervisor.start(replace(server, command=[server.command[0], f"-XX:AOTCache={wrong}", *options]))


def test_it_listens_on_loopback_only(settings: StackSettings, supervisor: Supervisor) -> None:
    supervisor.start(kafka_server(settings))
    (broker,) = psutil.Process(supervisor.pid("kafka")).children()
    listening = [c.laddr for c in broker.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == {settings.kafka_port, settings.kafka_controller_port}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
