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


def must_not_run() -> np.ndarray:
    raise AssertionError("made again")


def test_a_cached_value_is_not_made_again(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    first = cache.get("fitted", "a", lambda: filled(10))
    assert cache.get("fitted", "a", must_not_run) is first
    assert (lookups(metrics, "fitted", "miss"), lookups(metrics, "fitted", "hit")) == (1, 1)
    assert kept_bytes(metrics) == 10


def test_two_kinds_with_one_name_are_two_values(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    decoded = cache.get("decoded", "a", lambda: filled(1))
    assert cache.get("fitted", "a", lambda: filled(1)) is not decoded


def test_the_least_recently_used_value_is_dropped_first(metrics: Metrics) -> None:
    cache = Cache(30, metrics)
    for name in "abc":
        cache.get("fitted", name, lambda: filled(10))
    cache.get("fitted", "a", must_not_run)
    cache.get("fitted", "d", lambda: filled(10))
    for name in "acd":
        cache.get("fitted", name, must_not_run)
    with pytest.raises(AssertionError, match="made again"):
        cache.get("fitted", "b", must_not_run)
    assert kept_bytes(metrics) == 30


def test_a_large_value_drops_as_many_values_as_necessary(metrics: Metrics) -> None:
    cache = Cache(30, metrics)
    for name in "abc":
        cache.get("fitted", name, lambda: filled(10))
    cache.get("fitted", "large", lambda: filled(15))
    cache.get("fitted", "c", must_not_run)
    assert kept_bytes(metrics) == 25


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (9, 0), (10, 10)])
def test_a_value_above_the_limit_is_returned_and_not_cached(metrics: Metrics, limit: int, kept: int) -> None:
    cache = Cache(limit, metrics)
    assert cache.get("fitted", "a", lambda: filled(10)).nbytes == 10
    assert kept_bytes(metrics) == kept
    assert cache.drop_oldest("fitted") is (kept > 0)


def test_a_value_above_the_limit_drops_no_other_value(metrics: Metrics) -> None:
    cache = Cache(10, metrics)
    cache.get("fitted", "a", lambda: filled(10))
    cache.get("fitted", "large", lambda: filled(11))
    cache.get("fitted", "a", must_not_run)


def test_an_unusable_value_is_made_again_and_replaced(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    cache.get("decoded", "a", lambda: filled(10))
    fresh = cache.get("decoded", "a", lambda: filled(7), lambda value: value.nbytes < 10)
    assert cache.get("decoded", "a", must_not_run, lambda value: value.nbytes < 10) is fresh
    assert kept_bytes(metrics) == 7


def test_an_unusable_value_is_dropped_even_if_the_new_value_is_above_the_limit(metrics: Metrics) -> None:
    cache = Cache(10, metrics)
    cache.get("decoded", "a", lambda: filled(10))
    cache.get("decoded", "a", lambda: filled(11), lambda value: False)
    assert kept_bytes(metrics) == 0
    assert not cache.drop_oldest("decoded")


def test_drop_oldest_drops_values_of_its_kind_alone(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    cache.get("fitted", "a", lambda: filled(10))
    held = cache.get("decoded", "a", lambda: filled(10))
    assert cache.drop_oldest("decoded")
    assert kept_bytes(metrics) == 10
    assert not cache.drop_oldest("decoded")
    assert held.sum() == 0


def test_an_error_is_not_cached(metrics: Metrics) -> None:
    cache = Cache(100, metrics)
    with pytest.raises(AssertionError):
        cache.get("fitted", "a", must_not_run)
    cache.get("fitted", "a", lambda: filled(10))
    assert kept_bytes(metrics) == 10


class Slow:
    """Makes a value, or raises `error`, once `go` is set. It counts its calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started, self.go = threading.Event(), threading.Event()
        self.calls = 0
        self.error = error

    def __call__(self) -> np.ndarray:
        self.calls += 1
        self.started.set()
        assert self.go.wait(20)
        if self.error:
            raise self.error
        return filled(10)


def concurrent_gets(cache: Cache, slow: Slow, count: int, metrics: Metrics) -> list:
    """Return the futures of `count` threads that all ask for the value before it is made."""
    pool = ThreadPoolExecutor(count)
    futures = [pool.submit(cache.get, "decoded", "a", slow) for _ in range(count)]
    assert slow.started.wait(20)
    deadline = time.monotonic() + 20
    while lookups(metrics, "decoded", "hit") < count - 1:
        assert time.monotonic() < deadline, "not all threads wait for the value"
        time.sleep(0.001)
    slow.go.set()
    pool.shutdown()
    return futures


@pytest.mark.parametrize("limit", [100, 0])
def test_concurrent_callers_share_one_value(metrics: Metrics, limit: int) -> None:
    cache, slow = Cache(limit, metrics), Slow()
    values = [future.result() for future in concurrent_gets(cache, slow, 8, metrics)]
    assert slow.calls == 1
    assert all(value is values[0] for value in values)
    assert (lookups(metrics, "decoded", "miss"), lookups(metrics, "decoded", "hit")) == (1, 7)


def test_concurrent_callers_share_an_error_and_the_next_caller_tries_again(metrics: Metrics) -> None:
    cache, slow = Cache(100, metrics), Slow(SourceUnavailable("away"))
    errors = [future.exception() for future in concurrent_gets(cache, slow, 4, metrics)]
    assert slow.calls == 1
    assert all(isinstance(error, SourceUnavailable) for error in errors)
    assert cache.get("decoded", "a", lambda: filled(10)).nbytes == 10


def test_making_one_value_delays_no_other_value(metrics: Metrics) -> None:
    cache, slow = Cache(100, metrics), Slow()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(cache.get, "decoded", "a", slow)
        assert slow.started.wait(20)
        assert cache.get("decoded", "b", lambda: filled(1)).nbytes == 1
        slow.go.set()
    assert future.result().nbytes == 10  # it was still being made
