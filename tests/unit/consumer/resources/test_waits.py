"""What photos wait for, and whether it counts as away."""

from __future__ import annotations

import pytest

from consumer.resources.waits import GRACE_S, Waits
from cutstream.clock import ManualClock
from cutstream.errors import StoreUnavailable

STORE, TRITON = "store_unavailable", "triton_unavailable"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_photo_waits_from_its_first_failure_until_it_has_passed_the_stage(clock: ManualClock) -> None:
    seen: list[tuple[str, int]] = []
    waits = Waits(clock, lambda reason, photos: seen.append((reason, photos)))
    with waits.in_stage("store") as first, waits.in_stage("store") as second:
        first.begin(STORE)
        first.begin(STORE)
        second.begin(STORE)
        second.begin(TRITON)
    assert seen == [(STORE, 1), (STORE, 2), (STORE, 1), (TRITON, 1), (TRITON, 0), (STORE, 0)]


def test_what_is_waited_for_is_away_after_a_while_and_back_after_a_success(clock: ManualClock) -> None:
    waits = Waits(clock)
    with waits.in_stage("store") as wait:
        wait.begin(STORE)
        assert not waits.is_away(STORE)
        clock.sleep(GRACE_S)
        assert waits.is_away(STORE)
        assert not waits.is_away(TRITON)
        with waits.in_stage("store"):
            pass
        assert not waits.is_away(STORE), "another photo has been stored meanwhile"
        clock.sleep(GRACE_S)
        assert waits.is_away(STORE), "and since then none"
        with waits.in_stage("encode"):
            pass
        assert waits.is_away(STORE), "another stage proves nothing"
    assert not waits.is_away(STORE)


def test_a_photo_that_fails_proves_nothing_and_waits_no_more(clock: ManualClock) -> None:
    waits = Waits(clock)
    with waits.in_stage("store") as wait:
        wait.begin(STORE)
        clock.sleep(GRACE_S)
        with pytest.raises(StoreUnavailable), waits.in_stage("store"):
            raise StoreUnavailable("full")
        assert waits.is_away(STORE)
    assert not waits.is_away(STORE)
