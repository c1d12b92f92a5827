from __future__ import annotations

import threading

import pytest

from consumer.budget import Budget
from cutstream.errors import ResolutionTooHigh


def started(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_what_could_never_fit_is_refused_by_name() -> None:
    with pytest.raises(ResolutionTooHigh, match="CUTSTREAM_WORKER__MEMORY_BYTES"), Budget(10).reserve(11):
        pytest.fail("reserved")


def test_use_is_observed_and_given_back_also_after_an_error() -> None:
    seen: list[float] = []
    budget = Budget(10, seen.append)
    with pytest.raises(KeyError), budget.reserve(7):
        raise KeyError
    assert seen == [7, 0]


def test_a_large_picture_is_not_starved_by_small_ones() -> None:
    budget, order = Budget(10), []
    release_first, large_waits = threading.Event(), threading.Event()

    def first():
        with budget.reserve(6):
            release_first.wait(10)

    def take(name, amount):
        with budget.reserve(amount):
            order.append(name)

    holder = started(first)
    while budget._used != 6:
        pass
    large = started(lambda: (large_waits.set(), take("large", 10)))
    while not budget._queue:
        pass
    small = started(lambda: take("small", 1))
    while len(budget._queue) < 2:
        pass
    release_first.set()
    for thread in (holder, large, small):
        thread.join(10)
    assert order == ["large", "small"]
