"""Requests that flow through two workers while one of three brokers is lost, or a worker's network is."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader, ensure_topics
from cutstream.settings import KafkaSettings, Settings, WorkerSettings, as_environment
from tests.support.cluster import KafkaCluster
from tests.support.hosts import NamespaceHosts
from tests.support.sockets import closed_sockets  # noqa: F401

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.cluster,
    pytest.mark.timeout(180),
]

log = logging.getLogger(__name__)

REQUESTS = 900
FAULT_S = 8.0
RECOVERY_S = 30.0
GROUP, WORKERS = "faulty", ("worker-1", "worker-2")


@pytest.fixture
def settings(cluster: KafkaCluster, fresh_name: Callable[[str], str]) -> KafkaSettings:
    names = ("requests", "urgent", "retry", "results", "dead_letters", "backgrounds", "cancellations")
    topics = {f"{name}_topic": fresh_name(name) for name in names}
    settings = KafkaSettings(
        bootstrap_servers=cluster.bootstrap_servers,
        group=fresh_name("group"),
        partitions=6,
        replication=3,
        session_timeout_s=6.0,
        **{name: topic for name, topic in topics.items() if name in KafkaSettings.model_fields},
    )
    ensure_topics(settings)
    return settings


@contextmanager
def stub_workers(settings: KafkaSettings, cluster: KafkaCluster, folder: Path) -> Iterator[None]:
    """Run two workers, each on a host of its own."""
    started = []
    for name in WORKERS:
        kafka = settings.model_copy(update={"transactional_id": f"{settings.group}-{name}"})
        environment = as_environment(Settings(kafka=kafka, worker=WorkerSettings(window=8)))
        command = [*cluster.hosts.enter(name), sys.executable, "-m", "tests.support.stub_worker"]
        with (folder / f"{name}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env={**os.environ, **environment}, stderr=log))
    try:
        yield
        assert [worker.poll() for worker in started] == [None, None], "a worker ended"
    finally:
        for worker in started:
            worker.kill()
            worker.wait()


class Results:
    """The results that a reader of committed records has seen."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._reader = TopicReader(settings, settings.results_topic)
        self._reader.start()
        self.counted: Counter[bytes] = Counter()

    def read(self, seconds: float) -> int:
        """Read for so long. Return how many results came."""
        before, deadline = self.counted.total(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.counted.update(record.value for record in self._reader.poll(0.1))
        return self.counted.total() - before

    def read_until(self, count: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while len(self.counted) < count:
            assert time.monotonic() < deadline, f"{len(self.counted)} of {count} results after {timeout_s:g} s"
            self.read(0.2)

    def close(self) -> None:
        self._reader.close()


def write_requests(settings: KafkaSettings) -> set[bytes]:
    values = [b"%d" % number for number in range(REQUESTS)]
    writer = RecordWriter(settings)
    writer.start()
    with closing(writer):
        writer.write(OutgoingRecord(settings.requests_topic, value, value) for value in values)
    return set(values)


def survive(settings: KafkaSettings, cluster: KafkaCluster, folder: Path, fault: Callable[[], AbstractContextManager]):
    """Answer all requests while the fault comes and goes: each exactly once, and none waits after its end."""
    wanted = write_requests(settings)
    with closing(Results(settings)) as results, stub_workers(settings, cluster, folder):
        results.read_until(REQUESTS // 10, 60)
        with fault():
            during = results.read(FAULT_S)
            assert len(results.counted) < REQUESTS, "the fault came after the work"
        ended = time.monotonic()
        results.read_until(REQUESTS, RECOVERY_S)
        took = time.monotonic() - ended
        results.read(1.0)
    log.info("%d results during the fault, the rest %.1f s after its end", during, took)
    assert results.counted.keys() == wanted
    assert not [value for value, count in results.counted.items() if count > 1]


ROLES: dict[str, Callable[[KafkaCluster, KafkaSettings], str]] = {
    "leader": lambda cluster, settings: cluster.leader(settings.requests_topic, 0),
    "group-coordinator": lambda cluster, settings: cluster.coordinator("group", settings.group),
    "transaction-coordinator": lambda cluster, settings: cluster.coordinator(
        "transaction", f"{settings.group}-{WORKERS[0]}"
    ),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_broker_may_be_lost(cluster: KafkaCluster, settings: KafkaSettings, tmp_path: Path, fault: str, role: str):
    survive(settings, cluster, tmp_path, lambda: getattr(cluster, fault)(ROLES[role](cluster, settings)))


@pytest.mark.parametrize("role", ROLES)
def test_the_answers_of_one_broker_may_not_reach_a_worker(
    cluster: KafkaCluster, settings: KafkaSettings, tmp_path: Path, role: str
) -> None:
    hosts = namespaces(cluster)
    survive(settings, cluster, tmp_path, lambda: hosts.deaf(WORKERS[0], ROLES[role](cluster, settings)))


def test_a_worker_may_lose_all_brokers(cluster: KafkaCluster, settings: KafkaSettings, tmp_path: Path) -> None:
    hosts = namespaces(cluster)
    survive(settings, cluster, tmp_path, lambda: hosts.unplugged(WORKERS[0]))


def test_what_is_submitted_while_a_leader_is_lost_arrives_once(cluster: KafkaCluster, settings: KafkaSettings) -> None:
    writer = RecordWriter(settings)
    writer.start()
    with closing(writer), closing(TopicReader(settings, settings.requests_topic)) as reader:
        reader.start()
        with cluster.killed(cluster.leader(settings.requests_topic, 0)):
            for number in range(60):
                writer.write([OutgoingRecord(settings.requests_topic, b"%d" % number, b"%d" % number)])
        seen: list[bytes] = []
        deadline = time.monotonic() + RECOVERY_S
        while len(seen) < 60 and time.monotonic() < deadline:
            seen += [record.value for record in reader.poll(0.5)]
    assert sorted(seen, key=int) == [b"%d" % number for number in range(60)]


def namespaces(cluster: KafkaCluster) -> NamespaceHosts:
    if not isinstance(cluster.hosts, NamespaceHosts):
        pytest.skip("this user cannot make network namespaces")
    return cluster.hosts
