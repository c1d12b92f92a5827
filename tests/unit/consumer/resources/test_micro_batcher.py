from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from consumer.resources.micro_batcher import MicroBatcher
from cutstream.errors import TritonUnavailable, UnreadableImage


def gathered(run, items, **options):
    settings = {"max_items": 4, "max_wait_s": 0.2, "in_flight": 2} | options
    gather = MicroBatcher(run, **settings)

    def one(item):
        try:
            return gather(item)
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(one, items))


def test_every_item_gets_its_own_result() -> None:
    sizes = []

    def run(items):
        sizes.append(len(items))
        return [item * 10 for item in items]

    assert gathered(run, list(range(16))) == [i * 10 for i in range(16)]
    assert max(sizes) <= 4
    assert sum(sizes) == 16


def test_a_full_batch_does_not_wait() -> None:
    assert gathered(lambda items: items, [1, 2, 3, 4], max_wait_s=60) == [1, 2, 3, 4]


def test_a_lone_item_waits_only_for_the_window() -> None:
    assert gathered(lambda items: items, [1], max_wait_s=0.001) == [1]


def test_only_the_culprit_of_a_batch_fails() -> None:
    def run(items):
        if 3 in items:
            raise UnreadableImage("3 is bad")
        return items

    results = gathered(run, [1, 2, 3, 4], max_wait_s=60)
    assert [r for r in results if not isinstance(r, Exception)] == [1, 2, 4]
    assert isinstance(results[2], UnreadableImage)


def test_a_server_away_is_everybodys_wait() -> None:
    def run(items):
        raise TritonUnavailable("away")

    assert all(isinstance(r, TritonUnavailable) for r in gathered(run, [1, 2, 3, 4], max_wait_s=60))


def test_a_batch_goes_on_filling_while_all_calls_are_busy() -> None:
    release, first_running = threading.Event(), threading.Event()
    sizes = []

    def run(items):
        sizes.append(len(items))
        if items == [0]:
            first_running.set()
            release.wait(10)
        return items

    gather = MicroBatcher(run, max_items=8, max_wait_s=0.0, in_flight=1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(gather, 0)
        assert first_running.wait(10)
        rest = [pool.submit(gather, i) for i in range(1, 8)]
        while gather._open is None or len(gather._open.items) < 7:
            pass
        release.set()
        assert [f.result(10) for f in (first, *rest)] == list(range(8))
    assert sizes == [1, 7]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_calls_under_way_are_bounded(in_flight) -> None:
    now, peak, lock = 0, 0, threading.Lock()

    def run(items):
        nonlocal now, peak
        with lock:
            now += 1
            peak = max(peak, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
        return items

    gathered(run, list(range(32)), max_items=1, in_flight=in_flight)
    assert peak <= in_flight
