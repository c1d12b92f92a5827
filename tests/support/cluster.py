"""A Kafka of three brokers, which tests may kill, freeze and cut off. Each is broker and controller."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from kafka.admin import KafkaAdminClient

from cutstream.settings import StackSettings
from deploy.local.jars import ensure_jars
from deploy.local.java import java_command
from deploy.local.kafka import Cluster, Node, is_ready, prepare_node
from deploy.local.process import ServerSpec, Supervisor
from tests.support.group import wait_until
from tests.support.hosts import Hosts

BROKERS = {"broker-1": 1, "broker-2": 2, "broker-3": 3}
PORT, CONTROLLER_PORT = 9092, 9093
INTERNAL_PARTITIONS = 4  # of __consumer_offsets and __transaction_state: deploy/local/kafka.py


class KafkaCluster:
    def __init__(self, hosts: Hosts, supervisor: Supervisor, folder: Path, jars: Path) -> None:
        self.hosts = hosts
        self._supervisor = supervisor
        nodes = tuple(Node(id, hosts.address(name), PORT, CONTROLLER_PORT) for name, id in BROKERS.items())
        java = java_command(StackSettings(state=folder, jars=jars), ensure_jars(jars))
        cluster = Cluster(nodes)

        def prepare(name: str, node: Node) -> ServerSpec:
            command = [*hosts.enter(name), *prepare_node(node, cluster, folder / name, java)]
            log = folder / "logs" / f"{name}.log"
            # To enter a network takes the rights of root.
            return ServerSpec(name, command, {}, log, lambda: is_ready(PORT, node.host), trusted=True)

        with ThreadPoolExecutor() as pool:
            self._specs = list(pool.map(prepare, BROKERS, nodes))
        self.bootstrap_servers = ",".join(node.address for node in nodes)

    def start(self) -> None:
        self._supervisor.start(*self._specs)
        wait_until(lambda: len(self._describe_cluster()["brokers"]) == len(BROKERS), "a broker did not join")

    def kill(self, name: str) -> None:
        os.kill(self._pid(name), signal.SIGKILL)
        wait_until(lambda: self._supervisor.exit_code(name) is not None, f"{name} lives on")

    def start_again(self, name: str) -> None:
        self._supervisor.restart(name)
        ready = next(spec.ready for spec in self._specs if spec.name == name)
        wait_until(ready, f"{name} is not ready again")

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        self.kill(name)
        try:
            yield
        finally:
            self.start_again(name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        pid = self._pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def leader(self, topic: str, partition: int) -> str:
        """Return the name of the broker that leads a partition."""
        (described,) = self._admin(lambda admin: admin.describe_topics([topic]))
        leaders = {each["partition_index"]: each["leader_id"] for each in described["partitions"]}
        return next(name for name, id in BROKERS.items() if id == leaders[partition])

    def coordinator(self, kind: str, name: str) -> str:
        """Return the coordinator of a group (kind `group`) or of a transactional id (kind `transaction`)."""
        topic = {"group": "__consumer_offsets", "transaction": "__transaction_state"}[kind]
        return self.leader(topic, (_java_hash(name) & 0x7FFFFFFF) % INTERNAL_PARTITIONS)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until every partition has all its replicas in sync again."""
        wait_until(self._in_sync, "replicas stay out of sync")

    def _in_sync(self) -> bool:
        topics = self._admin(lambda admin: admin.describe_topics())
        return all(len(each["isr_nodes"]) == len(BROKERS) for topic in topics for each in topic["partitions"])

    def _describe_cluster(self):
        return self._admin(lambda admin: admin.describe_cluster())

    def _admin(self, call):
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers.split(","))) as admin:
            return call(admin)

    def _pid(self, name: str) -> int:
        (process,) = psutil.Process(self._supervisor.pid(name)).children()
        return process.pid


def _java_hash(text: str) -> int:
    value = 0
    for character in text.encode():
        value = (31 * value + character) & 0xFFFFFFFF
    return value
