from __future__ import annotations

import threading
import time

import pytest

from consumer.places import Places


def waiting(places: Places, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(places._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_more_are_inside_than_there_are_places() -> None:
    places, inside, most = Places(3), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(50):
            with places.taken():
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
    places, served = Places(1), []

    def work(number: int, order: int) -> None:
        with places.taken(order):
            served.append((order, number))

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(orders)]
    with places.taken():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            waiting(places, number)
    for thread in threads:
        thread.join(5)
    assert [order for order, _ in served] == expected
    assert orders[0] or [number for _, number in served] == [0, 1, 2]


def test_whoever_comes_by_does_not_overtake_one_that_waits() -> None:
    places, served = Places(1), []

    def work(name: str) -> None:
        with places.taken(1.0):
            served.append(name)

    waits = threading.Thread(target=work, args=("waits",))
    with places.taken():
        waits.start()
        waiting(places, 1)
    work("comes by")
    waits.join(5)
    assert served == ["waits", "comes by"]


def test_an_error_inside_gives_the_place_back() -> None:
    places = Places(1)
    with pytest.raises(ValueError, match="inside"), places.taken():
        raise ValueError("inside")
    with places.taken():
        assert not places._waiting
