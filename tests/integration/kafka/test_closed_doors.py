"""What the embedded Kafka keeps to itself, and what it does not get."""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import pytest

from cutstream.settings import StackSettings
from deploy.local.kafka import kafka_server
from deploy.local.process import Supervisor
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
    settings = StackSettings(state=tmp_path, jars=jars, **free_stack_ports())
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
