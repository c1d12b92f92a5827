from __future__ import annotations

import threading
import time

import pytest

from consumer.resources.priority_semaphore import PrioritySemaphore


def waiting(slots: PrioritySemaphore, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(slots._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_more_are_inside_than_there_are_slots() -> None:
    slots, inside, most = PrioritySemaphore(3), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(50):
            with slots.acquire():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (inside[0], most[0]) == (0, 3)


@pytest.mark.parametrize(("orders", "expected"), [([3, 1, 2], [1, 2, 3]), ([0, 0, 0], [0, 0, 0])])
def test_the_oldest_that_waits_is_next(orders: list[int], expected: list[int]) -> None:
    slots, served = PrioritySemaphore(1), []

    def work(number: int, order: int) -> None:
        with slots.acquire(order):
            served.append((order, number))

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(orders)]
    with slots.acquire():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            waiting(slots, number)
    for thread in threads:
        thread.join(5)
    assert [order for order, _ in served] == expected
    assert orders[0] or [number for _, number in served] == [0, 1, 2]


def test_whoever_comes_by_does_not_overtake_one_that_waits() -> None:
    slots, served = PrioritySemaphore(1), []

    def work(name: str) -> None:
        with slots.acquire(1.0):
            served.append(name)

    waits = threading.Thread(target=work, args=("waits",))
    with slots.acquire():
        waits.start()
        waiting(slots, 1)
    work("comes by")
    waits.join(5)
    assert served == ["waits", "comes by"]


def test_an_error_inside_gives_the_place_back() -> None:
    slots = PrioritySemaphore(1)
    with pytest.raises(ValueError, match="inside"), slots.acquire():
        raise ValueError("inside")
    with slots.acquire():
        assert not slots._waiting
