"""What the embedded Kafka keeps to itself, and what it does not get."""

from __future__ import annotations

import socket
import stat
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from cutstream.settings import StackSettings
from deploy.local.kafka import is_ready, kafka_address, kafka_server
from deploy.local.process import Supervisor
from tests.support.group import wait_until
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

CANARY = "canary-7f3a"
SECRETS = ("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "JAVA_TOOL_OPTIONS_OF_OURS")


def test_kafka_gets_no_secret_and_no_rights_of_root_and_nobody_else_reads_its_files(
    tmp_path: Path, jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    folder = tmp_path / "kafka"
    folder.mkdir(mode=0o755)  # that of an earlier version
    settings = StackSettings(state=tmp_path, private=False, jars=jars, **free_stack_ports())
    with Supervisor(60) as supervisor:
        supervisor.start(kafka_server(settings))
        guard = psutil.Process(supervisor.pid("kafka"))
        (java,) = guard.children(recursive=True)
        for process in (guard, java):
            assert CANARY not in process.environ().values()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{java.pid}/status").read_text().splitlines())
        assert (status["CapPrm"], status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    logs = [path for path in (folder / "data").rglob("*.log") if path.stat().st_size]
    assert logs
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in logs} == {0}


@pytest.mark.parametrize("port", ["kafka_port", "kafka_controller_port"])
def test_idle_connections_leave_kafka_the_files_that_it_needs(tmp_path: Path, jars: Path, port: str) -> None:
    """Any account can hold connections, also without a login. Without a file descriptor for its log Kafka ends."""
    settings = StackSettings(state=tmp_path, private=False, jars=jars, **free_stack_ports())
    with Supervisor(60) as supervisor, ExitStack() as held:
        supervisor.start(kafka_server(settings))
        admin = held.enter_context(closing(KafkaAdminClient(bootstrap_servers=kafka_address(settings))))
        admin.create_topics([NewTopic(name="first", num_partitions=1, replication_factor=1)])  # opens its connections
        (java,) = psutil.Process(supervisor.pid("kafka")).children(recursive=True)
        java.rlimit(psutil.RLIMIT_NOFILE, (1024, 1024))
        idle: list[socket.socket] = []
        with suppress(OSError):  # it takes no more
            while len(idle) < 1000:
                address = ("127.0.0.1", getattr(settings, port))
                idle.append(held.enter_context(socket.create_connection(address, timeout=2)))
        assert len(idle) > 300
        admin.create_topics([NewTopic(name="needs-files", num_partitions=20, replication_factor=1)])
        for connection in idle:
            connection.close()
        wait_until(lambda: is_ready(settings.kafka_port), "it does not come back")
        supervisor.check()
        assert java.is_running()
