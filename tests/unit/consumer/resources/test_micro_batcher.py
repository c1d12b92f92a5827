from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from consumer.resources.micro_batcher import MicroBatcher
from cutstream.errors import TritonUnavailable, UnreadableImage


def batched(run, items, **options):
    """Return the result or the error of each item, all submitted at once."""
    settings = {"max_items": 4, "max_wait_s": 0.2, "in_flight": 2} | options
    batcher = MicroBatcher(run, **settings)

    def result_of(item):
        try:
            return batcher(item)
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(result_of, items))


def test_every_item_gets_its_own_result() -> None:
    sizes = []

    def run(items):
        sizes.append(len(items))
        return [item * 10 for item in items]

    assert batched(run, list(range(16))) == [i * 10 for i in range(16)]
    assert max(sizes) <= 4
    assert sum(sizes) == 16


def test_a_full_batch_does_not_wait() -> None:
    started = time.monotonic()
    assert batched(lambda items: items, [1, 2, 3, 4], max_wait_s=60) == [1, 2, 3, 4]
    assert time.monotonic() - started < 30


def test_a_single_item_waits_no_longer_than_the_window() -> None:
    started = time.monotonic()
    assert batched(lambda items: items, [1], max_wait_s=0.1) == [1]
    assert 0.09 < time.monotonic() - started < 30


def test_only_the_item_that_causes_an_error_fails() -> None:
    def run(items):
        if 3 in items:
            raise UnreadableImage("3 is bad")
        return items

    results = batched(run, [1, 2, 3, 4], max_wait_s=60)
    assert [r for r in results if not isinstance(r, Exception)] == [1, 2, 4]
    assert isinstance(results[2], UnreadableImage)


def test_an_unavailable_server_is_an_error_for_the_whole_batch() -> None:
    sizes = []

    def run(items):
        sizes.append(len(items))
        raise TritonUnavailable("away")

    assert all(isinstance(r, TritonUnavailable) for r in batched(run, [1, 2, 3, 4], max_wait_s=60))
    assert sizes == [4], "the items were tried again one by one"


def test_the_open_batch_fills_while_all_calls_are_busy() -> None:
    release, first_running = threading.Event(), threading.Event()
    sizes = []

    def run(items):
        sizes.append(len(items))
        if items == [0]:
            first_running.set()
            release.wait(10)
        return items

    batcher = MicroBatcher(run, max_items=8, max_wait_s=0.0, in_flight=1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(batcher, 0)
        assert first_running.wait(10)
        rest = [pool.submit(batcher, i) for i in range(1, 8)]
        while batcher._open is None or len(batcher._open.items) < 7:
            pass
        release.set()
        assert [f.result(10) for f in (first, *rest)] == list(range(8))
    assert sizes == [1, 7]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_concurrent_calls_are_bounded(in_flight) -> None:
    running, peak, lock = 0, 0, threading.Lock()

    def run(items):
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return items

    batched(run, list(range(32)), max_items=1, in_flight=in_flight)
    assert peak <= in_flight
