"""The embedded Apache Kafka: one node on loopback, with broker and controller in one process.

Tests run several such nodes as one cluster.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import StackSettings, bare_environment
from deploy.local.head_start import HeadStart, find_head_start
from deploy.local.identity import ensure_identity
from deploy.local.jars import ensure_jars
from deploy.local.java import java_command
from deploy.local.process import ServerSpec
from deploy.local.state import private_folder, write_anew

DATA, META = "data", "meta.properties"
METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # key, version, correlation id, no client id, no topics
MIB = 1 << 20

PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    # Few partitions of the internal topics save files and start-up time.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    # Also for topics from before `ensure_topics` said so: a sender's times could begin thousands of segments.
    "log.message.timestamp.type": "LogAppendTime",
    # Limits for a laptop's disk and memory.
    "log.segment.bytes": 64 * MIB,
    "log.index.size.max.bytes": MIB,
    "log.retention.bytes": 512 * MIB,  # per partition
    "log.cleaner.dedupe.buffer.size": 16 * MIB,
    "metadata.log.segment.bytes": 16 * MIB,
    # Without a free file descriptor Kafka gives up its log, and ends. Some machines allow a process 1,024.
    "max.connections": 300,  # for the broker and the controller each
    # A worker that loses an idle connection gets no new one while strangers hold all. -1 would also mean never, but
    # then the broker cannot pass requests on to its controller.
    "connections.max.idle.ms": 2**31 - 1,
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
    identity = ensure_identity(settings)
    if identity:
        write_properties(identity.with_name("client.properties"), {"security.protocol": "SSL", **showing(identity)})
    java = java_command(settings, ensure_jars(settings.jars))
    command = prepare_node(node, Cluster((node,)), folder, java, identity, find_head_start(settings))
    return ServerSpec(
        name="kafka",
        command=command,
        environment={},
        log=log,
        cwd=folder,
        writes=(folder, Path(os.devnull)),
        ready=lambda: is_ready(settings.kafka_port, identity=identity),
        ports={
            "CUTSTREAM_STACK__KAFKA_PORT": settings.kafka_port,
            "CUTSTREAM_STACK__KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        },
    )


def kafka_address(settings: StackSettings) -> str:
    return f"127.0.0.1:{settings.kafka_port}"


def prepare_node(
    node: Node,
    cluster: Cluster,
    folder: Path,
    java: Sequence[str],
    identity: Path | None = None,
    head_start: HeadStart | None = None,
) -> list[str]:
    """Write the node's configuration and format its storage unless that was done. Return its command line.

    With an identity, the node talks only to who shows the same. A head start is for a node that is alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    write_properties(properties, configuration(node, cluster, folder / DATA, identity))
    if not (folder / DATA / META).exists():
        if head_start:
            copy_storage(cluster, head_start.storage, folder / DATA)
        else:
            format_storage(cluster, java, properties)
    # Codecs unpack their native libraries there, and no other folder is writable.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    program, *options = java
    if head_start:
        # Adapters of calling conventions that do not fit are made anew, and not worth a line each.
        options = [f"-XX:AOTCache={head_start.cache}", "-Xlog:aot*=error", *options]
    return [program, f"-Djava.io.tmpdir={temporary.resolve()}", *options, "kafka.Kafka", str(properties.resolve())]


def configuration(node: Node, cluster: Cluster, data: Path, identity: Path | None = None) -> dict[str, object]:
    """Return the properties of a node."""
    replicas, in_sync = len(cluster.nodes), max(1, len(cluster.nodes) - 1)
    protocol = "SSL" if identity else "PLAINTEXT"
    guards = {**showing(identity), "ssl.client.auth": "required"} if identity else {}
    return {
        **PROPERTIES,
        **guards,
        "node.id": node.id,
        "listeners": f"{protocol}://{node.address},CONTROLLER://{node.controller}",
        "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:{protocol}",
        "inter.broker.listener.name": protocol,
        "controller.quorum.bootstrap.servers": ",".join(each.controller for each in cluster.nodes),
        "log.dirs": data.resolve(),
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def showing(identity: Path) -> dict[str, object]:
    """Return the properties with which a server or a client shows an identity, and trusts nobody else."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": identity.resolve(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": identity.resolve(),
    }


def write_properties(file: Path, properties: Mapping[str, object]) -> None:
    write_anew(file, "".join(f"{name}={escaped(str(value))}\n" for name, value in properties.items()))


def escaped(text: str) -> str:
    """Write a value for a file of Java properties, which is in Latin-1 and has escapes of UTF-16."""
    plain = text.replace("\\", "\\\\")
    return "".join(char if char.isascii() else _utf16(char) for char in plain)


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


def copy_storage(cluster: Cluster, formatted: Path, data: Path) -> None:
    """Give a node that is alone a storage that was formatted before, under the name of its own cluster.

    The controller in it had another port, which the node corrects when it starts.
    """
    shutil.copytree(formatted, data, ignore=shutil.ignore_patterns(META), dirs_exist_ok=True)
    lines = (formatted / META).read_text().splitlines()
    lines = [f"cluster.id={cluster.id}" if line.startswith("cluster.id=") else line for line in lines]
    write_anew(data / META, "\n".join(lines) + "\n")  # last, because it marks the storage as whole


def format_storage(cluster: Cluster, java: Sequence[str], properties: Path) -> None:
    controllers = ",".join(f"{node.id}@{node.controller}:{node.directory}" for node in cluster.nodes)
    # --ignore-formatted: an earlier start may have been killed during this step.
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={cluster.id}"]
    tool += [f"--initial-controllers={controllers}"]
    try:
        command = [*java, *tool, "--config", str(properties.resolve())]
        process = subprocess.run(command, cwd=properties.parent, env=bare_environment(), capture_output=True, text=True)
    except OSError as exc:
        raise ConfigurationError(f"CUTSTREAM_STACK__JAVA: cannot run {java[0]}: {exc.strerror}") from exc
    if process.returncode != 0:
        raise StackError(
            f"Kafka could not format {properties.parent / 'data'}:\n{process.stdout}{process.stderr}".rstrip()
        )


def is_ready(port: int, host: str = "127.0.0.1", identity: Path | None = None) -> bool:
    """Return True if the broker answers a metadata request and lists itself among the live brokers.

    With an identity, it has to show the same.
    """
    try:
        with (
            socket.create_connection((host, port), timeout=1) as plain,
            _encrypted(plain, host, identity) as connection,
        ):
            connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
            reply = connection.makefile("rb").read(12)
    except OSError:  # as are the errors of TLS
        return False
    return len(reply) == 12 and struct.unpack(">iii", reply)[2] >= 1  # length, correlation id, number of brokers


def _encrypted(plain: socket.socket, host: str, identity: Path | None) -> socket.socket:
    if identity is None:
        return plain
    context = ssl.create_default_context(cafile=identity)
    context.load_cert_chain(identity)
    return context.wrap_socket(plain, server_hostname=host)
