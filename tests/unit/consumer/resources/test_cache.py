from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from consumer.resources.cache import Cache
from cutstream.errors import SourceUnavailable
from cutstream.metrics import Metrics


def filled(size: int) -> np.ndarray:
    return np.zeros(size, np.uint8)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def kept_bytes(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("cutstream_background_cache_bytes")


def lookups(metrics: Metrics, kind: str, outcome: str) -> float:
    labels = {"kind": kind, "outcome": outcome}
    return metrics.registry.get_sample_value("cutstream_background_lookups_total", labels) or 0.0


def never() -> np.ndarray:
    raise AssertionError("made again")


def test_what_is_kept_is_not_made_again(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    first = cache.get("fitted", "a", lambda: filled(10))
    assert cache.get("fitted", "a", never) is first
    assert (lookups(metrics, "fitted", "miss"), lookups(metrics, "fitted", "hit")) == (1, 1)
    assert kept_bytes(metrics) == 10


def test_kinds_do_not_share_names(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    decoded = cache.get("decoded", "a", lambda: filled(1))
    assert cache.get("fitted", "a", lambda: filled(1)) is not decoded


def test_the_one_not_used_longest_goes_first(metrics: Metrics) -> None:
    cache = Cache(30, metrics)
    for name in "abc":
        cache.get("fitted", name, lambda: filled(10))
    cache.get("fitted", "a", never)
    cache.get("fitted", "d", lambda: filled(10))
    for name in "acd":
        cache.get("fitted", name, never)
    with pytest.raises(AssertionError, match="made again"):
        cache.get("fitted", "b", never)
    assert kept_bytes(metrics) == 30


def test_a_large_one_makes_as_much_room_as_it_needs(metrics: Metrics) -> None:
    cache = Cache(30, metrics)
    for name in "abc":
        cache.get("fitted", name, lambda: filled(10))
    cache.get("fitted", "large", lambda: filled(15))
    cache.get("fitted", "c", never)
    assert kept_bytes(metrics) == 25


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (9, 0), (10, 10)])
def test_what_is_larger_than_all_the_room_is_made_and_not_kept(metrics: Metrics, limit: int, kept: int) -> None:
    cache = Cache(limit, metrics)
    assert cache.get("fitted", "a", lambda: filled(10)).nbytes == 10
    assert kept_bytes(metrics) == kept
    assert cache.drop_oldest() is (kept > 0)


def test_what_is_larger_than_all_the_room_drives_nothing_out(metrics: Metrics) -> None:
    cache = Cache(10, metrics)
    cache.get("fitted", "a", lambda: filled(10))
    cache.get("fitted", "large", lambda: filled(11))
    cache.get("fitted", "a", never)


def test_what_is_no_longer_usable_is_made_again_and_replaced(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    cache.get("decoded", "a", lambda: filled(10))
    fresh = cache.get("decoded", "a", lambda: filled(7), lambda value: value.nbytes < 10)
    assert cache.get("decoded", "a", never, lambda value: value.nbytes < 10) is fresh
    assert kept_bytes(metrics) == 7


def test_an_unusable_one_that_cannot_be_replaced_by_what_has_no_room_is_gone(metrics: Metrics) -> None:
    cache = Cache(10, metrics)
    cache.get("decoded", "a", lambda: filled(10))
    cache.get("decoded", "a", lambda: filled(11), lambda value: False)
    assert kept_bytes(metrics) == 0
    assert not cache.drop_oldest()


def test_dropping_ends_when_nothing_is_kept(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    held = cache.get("decoded", "a", lambda: filled(10))
    assert cache.drop_oldest()
    assert kept_bytes(metrics) == 0
    assert not cache.drop_oldest()
    assert held.sum() == 0


def test_an_error_is_not_kept(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    with pytest.raises(AssertionError):
        cache.get("fitted", "a", never)
    cache.get("fitted", "a", lambda: filled(10))
    assert kept_bytes(metrics) == 10


class Slow:
    """Makes one value, however many wait, once it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls = 0
        self.error = error

    def __call__(self) -> np.ndarray:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(20)
        if self.error:
            raise self.error
        return filled(10)


def asked_at_once(cache: Cache, slow: Slow, count: int, metrics: Metrics) -> list:
    """Futures of `count` threads that all ask before the value is there."""
    pool = ThreadPoolExecutor(count)
    futures = [pool.submit(cache.get, "decoded", "a", slow) for _ in range(count)]
    assert slow.begun.wait(20)
    deadline = time.monotonic() + 20
    while lookups(metrics, "decoded", "hit") < count - 1:
        assert time.monotonic() < deadline, "not all of them wait"
        time.sleep(0.001)
    slow.go.set()
    pool.shutdown()
    return futures


@pytest.mark.parametrize("limit", [100, 0])
def test_those_who_ask_at_once_share_one_making(metrics: Metrics, limit: int) -> None:
    cache, slow = Cache(limit, metrics), Slow()
    values = [future.result() for future in asked_at_once(cache, slow, 8, metrics)]
    assert slow.calls == 1
    assert all(value is values[0] for value in values)
    assert (lookups(metrics, "decoded", "miss"), lookups(metrics, "decoded", "hit")) == (1, 7)


def test_those_who_ask_at_once_share_the_error_and_the_next_tries_again(metrics: Metrics) -> None:
    cache, slow = Cache(100, metrics), Slow(SourceUnavailable("away"))
    errors = [future.exception() for future in asked_at_once(cache, slow, 4, metrics)]
    assert slow.calls == 1
    assert all(isinstance(error, SourceUnavailable) for error in errors)
    assert cache.get("decoded", "a", lambda: filled(10)).nbytes == 10


def test_one_name_in_the_making_holds_up_no_other(metrics: Metrics) -> None:
    cache, slow = Cache(100, metrics), Slow()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(cache.get, "decoded", "a", slow)
        assert slow.begun.wait(20)
        assert cache.get("decoded", "b", lambda: filled(1)).nbytes == 1
        slow.go.set()
