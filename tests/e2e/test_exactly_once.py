"""Workers are killed, frozen, added and removed under load; every request has exactly one committed result."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.workers import Results, WorkerProcess, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(400)]

FREEZE_S = 8.0  # longer than the session of 6 s: a frozen worker is thrown out and its partitions go to the other


def requests(photos: list[str], count: int) -> list[dict]:
    return [{"id": f"photo-{n}", "image": photos[n % len(photos)]} for n in range(count)]


def wait_until(results: Results, count: int, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while results.read(0.05) < count:
        assert time.monotonic() < deadline, f"{len(results.records)} of {count} results"


def test_kill_in_mid_batch_and_restart(settings, small_photos, tmp_path) -> None:
    asked = requests(small_photos, 600)
    submit(settings.kafka, asked)
    with Results(settings.kafka) as results:
        for kills in range(1, 4):
            worker = WorkerProcess(settings, tmp_path / f"worker-{kills}.log").wait_ready()
            try:
                wait_until(results, len(results.records) + 60)
            finally:
                worker.kill()
        with workers(settings, tmp_path):
            done = results.wait_for(len(asked), 200)
    assert_exactly_once(done, [request["id"] for request in asked])
    assert all(result.status == "ok" for result in done)


def test_a_frozen_worker_comes_back_as_a_zombie(settings, small_photos, tmp_path) -> None:
    """A zombie's results, and its commits, must be refused: a test that only kills does not see this."""
    asked = requests(small_photos, 4000)
    submit(settings.kafka, asked)
    with Results(settings.kafka) as results, workers(settings, tmp_path, count=2) as pair:
        for cycle in range(4):
            frozen = pair[cycle % 2]
            wait_until(results, len(results.records) + 40)
            frozen.signal(signal.SIGSTOP)
            time.sleep(FREEZE_S)
            frozen.signal(signal.SIGCONT)
            time.sleep(1.0)
        assert len(results.records) < len(asked), "the load ended before the last freeze: this run shows nothing"
        done = results.wait_for(len(asked), 300)
        lost = [worker.metric("cutstream_rebalances_total", 'change="lost"') for worker in pair]
        assert min(lost) >= 1, "no worker was thrown out: this run shows nothing"
    assert_exactly_once(done, [request["id"] for request in asked])


def test_workers_come_and_go(settings, small_photos, tmp_path) -> None:
    asked = requests(small_photos, 1500)
    submit(settings.kafka, asked)
    with Results(settings.kafka) as results, workers(settings, tmp_path) as (first,):
        wait_until(results, 50)
        second = WorkerProcess(settings, tmp_path / "second.log").wait_ready()
        try:
            deadline = time.monotonic() + 30
            while {worker.metric("cutstream_assigned_partitions") for worker in (first, second)} != {2}:
                results.read(0.1)
                assert time.monotonic() < deadline, "the partitions were not shared"
            wait_until(results, len(results.records) + 100)
            assert second.terminate() == 0
        finally:
            second.kill()
        done = results.wait_for(len(asked), 200)
    assert_exactly_once(done, [request["id"] for request in asked])


def test_sigterm_drains(settings, small_photos, tmp_path) -> None:
    """What was under way is finished and committed, nothing more is taken, and the exit is clean and in time."""
    asked = requests(small_photos, 800)
    submit(settings.kafka, asked)
    with Results(settings.kafka) as results, workers(settings, tmp_path) as (worker,):
        wait_until(results, 50)
        began = time.monotonic()
        assert worker.terminate(settings.worker.drain_timeout_s + 5) == 0
        assert time.monotonic() - began < settings.worker.drain_timeout_s
        drained = results.wait_for(50, 5)
        assert len(drained) < len(asked)
        assert '"event": "worker stopped"' in worker.tail()
        with workers(settings, tmp_path):
            done = results.wait_for(len(asked), 120)
    assert_exactly_once(done, [request["id"] for request in asked])
