from __future__ import annotations

import threading

from consumer.window import Window


def test_every_item_is_collected_and_free_slots_are_counted() -> None:
    window = Window(4, lambda x: x * 2)
    window.start()
    results, waiting = [], list(range(50))
    while waiting or window.in_flight:
        while waiting and window.free:
            window.submit(waiting.pop())
        assert 0 <= window.in_flight <= 4
        results += window.collect(1.0)
    assert sorted(results) == [x * 2 for x in range(50)]
    assert window.free == 4


def test_a_slow_item_delays_no_other_item() -> None:
    gate = threading.Event()
    window = Window(2, lambda x: gate.wait(10) and x if x == 0 else x)
    window.start()
    window.submit(0)
    for x in range(1, 20):
        window.submit(x)
        assert window.collect(5.0) == [x]
    gate.set()
    assert window.collect(5.0) == [0]


def test_collect_without_a_timeout_returns_at_once() -> None:
    window = Window(1, lambda x: x)
    assert window.collect(0.0) == []
