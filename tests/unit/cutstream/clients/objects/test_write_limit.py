"""The limit of a write is short, and long enough for a slow line."""

from __future__ import annotations

from cutstream.clients.objects.write_limit import LIMITS_S, WriteLimit


def write(limit: WriteLimit, needs_s: float) -> bool:
    """Try a write that needs this long, and return whether it succeeded."""
    level = limit.level
    done = needs_s < LIMITS_S[level]
    limit.record(level, min(needs_s, LIMITS_S[level]), done)
    return done


def test_a_slow_line_gets_more_time_until_its_writes_succeed_and_keeps_it() -> None:
    limit = WriteLimit()
    assert [write(limit, 26) for _ in range(5)] == [False, False, False, True, True]


def test_the_last_limit_stays() -> None:
    limit = WriteLimit()
    assert not any(write(limit, 1000) for _ in range(10))
    assert limit.level == len(LIMITS_S) - 1


def test_quick_writes_bring_the_short_limit_back() -> None:
    limit = WriteLimit()
    for _ in range(10):
        write(limit, 1000)
    assert all(write(limit, 0.1) for _ in LIMITS_S)
    assert limit.level == 0


def test_writes_that_fail_together_count_once() -> None:
    limit = WriteLimit()
    for _ in range(16):
        limit.record(0, LIMITS_S[0], done=False)
    assert limit.level == 1


def test_a_refused_connection_says_nothing_about_the_speed() -> None:
    limit = WriteLimit()
    limit.record(0, 0.01, done=False)
    assert limit.level == 0
