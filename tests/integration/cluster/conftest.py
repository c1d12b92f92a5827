from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.process import Supervisor
from tests.support.cluster import BROKERS, KafkaCluster
from tests.support.hosts import Hosts, hosts

WORKERS = ["worker-1", "worker-2"]


@pytest.fixture(scope="session")
def cluster_hosts() -> Iterator[Hosts]:
    with hosts([*BROKERS, *WORKERS]) as built:
        yield built


@pytest.fixture(scope="session")
def running_cluster(
    cluster_hosts: Hosts, tmp_path_factory: pytest.TempPathFactory, jars: Path
) -> Iterator[KafkaCluster]:
    with Supervisor(120) as supervisor:
        cluster = KafkaCluster(cluster_hosts, supervisor, tmp_path_factory.mktemp("cluster"), jars)
        cluster.start()
        yield cluster


@pytest.fixture
def cluster(running_cluster: KafkaCluster) -> KafkaCluster:
    """Three brokers whose replicas are all in sync."""
    running_cluster.settle()
    return running_cluster
