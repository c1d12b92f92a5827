from __future__ import annotations

import random
import threading
import time

import pytest

from consumer.resources.priority_semaphore import PrioritySemaphore


class GivenUp(Exception):
    pass


def give_up() -> None:
    raise GivenUp


def wait_for_waiters(slots: PrioritySemaphore, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(slots._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_at_most_one_caller_per_slot_is_inside() -> None:
    slots, inside, peak = PrioritySemaphore(3), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(50):
            with slots.acquire():
                with lock:
                    inside[0] += 1
                    peak[0] = max(peak[0], inside[0])
                time.sleep(0.0002)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (inside[0], peak[0]) == (0, 3)


@pytest.mark.parametrize(("orders", "expected"), [([3, 1, 2], [1, 2, 3]), ([0, 0, 0], [0, 0, 0])])
def test_the_waiter_with_the_lowest_order_is_served_next(orders: list[int], expected: list[int]) -> None:
    slots, served = PrioritySemaphore(1), []

    def work(number: int, order: int) -> None:
        with slots.acquire((order,)):
            served.append((order, number))

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(orders)]
    with slots.acquire():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for_waiters(slots, number)
    for thread in threads:
        thread.join(5)
    assert [order for order, _ in served] == expected
    assert served == sorted(served), "waiters of equal order were not served first come, first served"


def test_a_new_caller_does_not_overtake_a_waiter() -> None:
    slots, served = PrioritySemaphore(1), []

    def work(name: str) -> None:
        with slots.acquire((1.0,)):
            served.append(name)

    waiter = threading.Thread(target=work, args=("waiter",))
    with slots.acquire():
        waiter.start()
        wait_for_waiters(slots, 1)
    work("new caller")
    waiter.join(5)
    assert served == ["waiter", "new caller"]


def test_an_error_inside_releases_the_slot() -> None:
    slots = PrioritySemaphore(1)
    with pytest.raises(ValueError, match="inside"), slots.acquire():
        raise ValueError("inside")
    assert slots._free == 1
    with slots.acquire():
        assert not slots._waiting


def test_what_a_caller_no_longer_needs_serves_the_next_while_it_goes_on() -> None:
    slots = PrioritySemaphore(10)
    with slots.acquire(units=8) as keep:
        keep(9)  # more than it has, so nothing changes
        assert slots._free == 2
        keep(3)
        keep(5)
        assert slots._free == 7
        with slots.acquire(units=7):
            assert slots._free == 0
    assert slots._free == 10


def test_callers_that_need_little_do_not_starve_one_that_needs_much() -> None:
    slots, served = PrioritySemaphore(10), []

    def work(name: str, units: int) -> None:
        with slots.acquire(units=units):
            served.append(name)

    threads = [threading.Thread(target=work, args=pair) for pair in (("large", 10), ("small", 1))]
    with slots.acquire(units=6):
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for_waiters(slots, number)
    for thread in threads:
        thread.join(5)
    assert served == ["large", "small"]


def test_a_wait_ends_when_its_caller_gives_up_and_those_behind_it_are_served() -> None:
    slots, served = PrioritySemaphore(10), threading.Event()

    def work() -> None:
        with slots.acquire(units=4):
            served.set()

    behind = threading.Thread(target=work)
    with slots.acquire(units=6):
        waiting = threading.Thread(target=lambda: (wait_for_waiters(slots, 1), behind.start()))
        waiting.start()
        with pytest.raises(GivenUp), slots.acquire(units=10, give_up=give_up):
            pytest.fail("10 units of 10 were given out while 6 were in use")
        assert served.wait(5), "the large caller that gave up still held back the small one"
    for thread in (waiting, behind):
        thread.join(5)
    assert (slots._free, slots._waiting) == (10, [])


def test_nothing_is_lost_or_given_out_twice_when_callers_give_up_at_any_time(monkeypatch) -> None:
    monkeypatch.setattr("consumer.resources.priority_semaphore._CHECK_INTERVAL_S", 0.0005)
    used: list[float] = []
    slots, chooser = PrioritySemaphore(10, used.append), random.Random(5)

    def give_up_sometimes() -> None:
        if chooser.random() < 0.2:
            raise GivenUp

    def work() -> None:
        for _ in range(60):
            try:
                with slots.acquire((chooser.random(),), chooser.randint(1, 10), give_up_sometimes):
                    time.sleep(0.0002)
            except GivenUp:
                gave_up.append(True)

    gave_up: list[bool] = []
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert gave_up, "no caller gave up, so this run proves nothing"
    assert (slots._free, slots._waiting, used[-1]) == (10, [], 0)
    assert max(used) <= 10
