"""`/readyz` and the metrics tell the truth while the disk is full, Triton is frozen, and Kafka is frozen."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from cutstream.clients.kafka import ensure_topics
from cutstream.settings import Settings
from deploy.local.kafka import kafka_address, kafka_server
from deploy.local.process import Supervisor
from deploy.local.restarts import Restarter
from deploy.local.triton import triton_server
from tests.support.group import wait_until
from tests.support.ports import free_stack_ports
from tests.support.workers import Results, WorkerProcess, submit, workers

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(300)]

CHECKS = {"running", "group", "broker", "triton", "store", "memory", "backgrounds", "cancellations", "decoders"}
SMALL = 409_600  # bytes of the disk: whole pages


@pytest.fixture
def servers(settings: Settings, tmp_path: Path, jars: Path) -> Iterator[tuple[Settings, Supervisor]]:
    """Settings with a Kafka and a Triton of this test's own, which it may freeze, and their supervisor."""
    stack = settings.stack.model_copy(update={"jars": jars, **free_stack_ports()})
    own = settings.model_copy(update={"stack": stack})
    broker = stack.model_copy(update={"state": tmp_path / "kafka"})
    with Supervisor(60) as supervisor:
        supervisor.start(kafka_server(broker), triton_server(own))
        own = own.model_copy(
            update={
                "kafka": own.kafka.model_copy(update={"bootstrap_servers": kafka_address(stack)}),
                "triton": own.triton.model_copy(update={"url": f"127.0.0.1:{stack.triton_grpc_port}"}),
            }
        )
        ensure_topics(own.kafka)
        yield own, supervisor


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of SMALL bytes."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def frozen(supervisor: Supervisor, name: str) -> Iterator[None]:
    processes = psutil.Process(supervisor.pid(name)).children(recursive=True)
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # Triton's watchdog has ended it
                process.resume()


def readiness(worker: WorkerProcess) -> dict[str, bool]:
    """Return the answer of `/readyz`, which comes at once, and whose status fits what it says."""
    started = time.monotonic()
    status, body = worker.get("/readyz")
    assert time.monotonic() - started < 2, "it waits for a server"
    answer: dict[str, bool] = json.loads(body)
    assert (status == 200) is all(answer.values())
    return answer


def wait_for(
    worker: WorkerProcess, timeout_s: float = 30, revive: Callable[[], None] = lambda: None, **checks: bool
) -> dict[str, bool]:
    deadline = time.monotonic() + timeout_s
    while not checks.items() <= (answer := readiness(worker)).items():
        revive()
        assert time.monotonic() < deadline, f"{answer} does not become {checks}:\n{worker.tail()}"
        time.sleep(0.1)
    return answer


def nothing_is_left(worker: WorkerProcess) -> bool:
    names = ("waiting", "in_flight", "uncommitted_results", "oldest_request_seconds", "consumer_lag_records")
    return not any(worker.metric(f"cutstream_{name}") for name in names)


def test_readiness_and_metrics_under_faults(servers, small_photos, tmp_path) -> None:
    settings, supervisor = servers
    disk = Path(settings.objects.destination.removeprefix("file://"))
    with small_disk(disk), workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
        assert readiness(worker).keys() == CHECKS

        ballast = disk / "ballast"
        ballast.write_bytes(bytes(SMALL))  # all of it: what fits into the last pages would be answered
        submit(settings.kafka, [{"id": f"full-{n}", "image": small_photos[n % 20]} for n in range(100)])
        assert wait_for(worker, store=False) == dict.fromkeys(CHECKS, True) | {"store": False}
        assert worker.metric("cutstream_waiting", 'reason="store_unavailable"') == settings.worker.window
        assert worker.metric("cutstream_in_flight") == settings.worker.window
        assert worker.metric("cutstream_ready", 'check="store"') == 0
        assert worker.metric("cutstream_oldest_request_seconds") > 4
        wait_until(lambda: worker.metric("cutstream_consumer_lag_records") == 100, "the lag is not 100")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        results.wait_for(100, 60)
        wait_for(worker, store=True)
        wait_until(lambda: nothing_is_left(worker), "a metric says that something is left")

        with frozen(supervisor, "triton"):
            assert wait_for(worker, triton=False) == dict.fromkeys(CHECKS, True) | {"triton": False}
            with ThreadPoolExecutor(50) as probes:
                assert all(answer["triton"] is False for answer in probes.map(readiness, [worker] * 200))
            assert worker.get("/healthz")[0] == 200
        wait_for(worker, revive=Restarter(supervisor, log.info).check, triton=True)

        with frozen(supervisor, "kafka"):
            wait_for(worker, broker=False)
            assert worker.get("/healthz")[0] == 200
        wait_for(worker, 60, **dict.fromkeys(CHECKS, True))
        late = {"image": small_photos[0], "deadline": "2020-01-01T00:00:00Z"}
        submit(settings.kafka, [{"id": f"late-{n}", **late} for n in range(20)])
        assert {result.status for result in results.wait_for(120, 60)[100:]} == {"expired"}
        wait_until(lambda: worker.metric("cutstream_requests_total", 'status="expired"') == 20, "20 are not counted")
        wait_until(lambda: nothing_is_left(worker), "a metric says that something is left")
