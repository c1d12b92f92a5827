"""Every request has exactly one committed result while workers are killed, frozen, added and removed under load."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.workers import Results, WorkerProcess, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(400)]

FREEZE_S = 8.0  # longer than the session of 6 s: the group drops the frozen worker, and the other gets its partitions


AHEAD = (
    300  # so many requests have no result while workers come and go; in a freeze half of them wait for the frozen one
)


def requests(photos: list[str], count: int, first: int = 0) -> list[dict]:
    return [{"id": f"photo-{n}", "image": photos[n % len(photos)]} for n in range(first, first + count)]


class Load:
    """Requests that do not run out, however fast the workers are, and of which few are left in the end."""

    def __init__(self, results: Results, photos: list[str]) -> None:
        self._results = results
        self._photos = photos
        self.submitted: list[dict] = []
        self.feed()

    def feed(self) -> int:
        """Read results, send more requests if too few are left, and return the number of results."""
        done = self._results.read(0.05)
        if (missing := AHEAD - (len(self.submitted) - done)) > 0:
            more = requests(self._photos, missing + AHEAD // 3, len(self.submitted))
            submit(self._results.settings, more)
            self.submitted += more
        return done

    def feed_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.feed()

    def feed_until(self, count: int, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while self.feed() < count:
            assert time.monotonic() < deadline, f"{len(self._results.records)} of {count} results"


def wait_until(results: Results, count: int, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while results.read(0.05) < count:
        assert time.monotonic() < deadline, f"{len(results.records)} of {count} results"


def test_killed_workers_are_replaced(settings, small_photos, tmp_path) -> None:
    submitted = requests(small_photos, 400)
    submit(settings.kafka, submitted)
    with Results(settings.kafka) as results:
        for kills in range(1, 4):
            worker = WorkerProcess(settings, tmp_path / f"worker-{kills}.log").wait_ready()
            try:
                wait_until(results, len(results.records) + 60)
            finally:
                worker.kill()
        with workers(settings, tmp_path):
            done = results.wait_for(len(submitted), 200)
    assert_exactly_once(done, [request["id"] for request in submitted])
    assert all(result.status == "ok" for result in done)


def test_a_frozen_worker_returns_as_a_zombie(settings, small_photos, tmp_path) -> None:
    """The broker must refuse a zombie's results and commits. A test that only kills workers would not notice."""
    with Results(settings.kafka) as results, workers(settings, tmp_path, count=2) as pair:
        load = Load(results, small_photos)
        for frozen in pair:
            load.feed_until(len(results.records) + 40)
            frozen.signal(signal.SIGSTOP)
            load.feed_for(FREEZE_S)
            frozen.signal(signal.SIGCONT)
            load.feed_for(1.0)
        assert len(results.records) < len(load.submitted), (
            "the load ended before the last freeze, so this run proves nothing"
        )
        done = results.wait_for(len(load.submitted), 300)
        lost = [worker.metric("cutstream_rebalances_total", 'change="lost"') for worker in pair]
        assert min(lost) >= 1, "no worker lost its partitions, so this run proves nothing"
    assert_exactly_once(done, [request["id"] for request in load.submitted])


def test_workers_join_and_leave(settings, small_photos, tmp_path) -> None:
    with Results(settings.kafka) as results, workers(settings, tmp_path) as (first,):
        load = Load(results, small_photos)
        load.feed_until(50)
        second = WorkerProcess(settings, tmp_path / "second.log").wait_ready()
        try:
            deadline = time.monotonic() + 30
            while {worker.metric("cutstream_assigned_partitions") for worker in (first, second)} != {
                6
            }:  # of three topics with four each
                load.feed()
                assert time.monotonic() < deadline, "the partitions were not shared"
            load.feed_until(len(results.records) + 100)
            assert second.terminate() == 0
        finally:
            second.kill()
        done = results.wait_for(len(load.submitted), 200)
    assert_exactly_once(done, [request["id"] for request in load.submitted])


def test_sigterm_drains(settings, small_photos, tmp_path) -> None:
    """On SIGTERM a worker finishes and commits its started requests, starts no other, and exits cleanly in time."""
    submitted = requests(small_photos, 300)
    submit(settings.kafka, submitted)
    with Results(settings.kafka) as results, workers(settings, tmp_path) as (worker,):
        wait_until(results, 50)
        began = time.monotonic()
        assert worker.terminate(settings.worker.drain_timeout_s + 5) == 0
        assert time.monotonic() - began < settings.worker.drain_timeout_s
        drained = results.wait_for(50, 5)
        assert len(drained) < len(submitted)
        assert '"event": "worker stopped"' in worker.tail()
        with workers(settings, tmp_path):
            done = results.wait_for(len(submitted), 120)
    assert_exactly_once(done, [request["id"] for request in submitted])
