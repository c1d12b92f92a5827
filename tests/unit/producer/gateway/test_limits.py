from __future__ import annotations

from contextlib import ExitStack

import pytest

from cutstream.clock import ManualClock
from producer.gateway.errors import CallRefused
from producer.gateway.keys import ANYBODY, Client
from producer.gateway.limits import Limits

SHOP = Client("shop")


def make(clock: ManualClock, calls: int = 10) -> Limits:
    return Limits(clock, requests_per_minute=3, max_calls_per_key=2, max_calls=calls, max_followers=3)


def test_a_minute_has_so_many_photos_and_says_how_many_are_left() -> None:
    clock = ManualClock()
    limits = make(clock)
    for left in (3, 2, 1):
        assert limits.headers(SHOP)["X-RateLimit-Remaining"] == str(left)
        limits.spend(SHOP)
    clock.sleep(20)
    with pytest.raises(CallRefused) as caught:
        limits.spend(SHOP)
    assert caught.value.status == 429
    assert caught.value.headers["Retry-After"] == "40"
    assert caught.value.headers["X-RateLimit-Limit"] == "3"
    assert caught.value.headers["X-RateLimit-Remaining"] == "0"
    assert int(caught.value.headers["X-RateLimit-Reset"]) == int(clock.wall() + 40)
    clock.sleep(40)
    limits.spend(SHOP)


def test_each_client_has_its_own_limits() -> None:
    limits = make(ManualClock())
    limits.spend(SHOP, 3)
    limits.spend(Client("print"), 3)
    limits.spend(Client("big", requests_per_minute=100), 50)
    limits.spend(ANYBODY, 1000)
    assert limits.headers(ANYBODY) == {}


def test_a_job_above_the_limit_takes_a_whole_minute() -> None:
    clock = ManualClock()
    limits = make(clock)
    limits.spend(SHOP, 50)
    with pytest.raises(CallRefused):
        limits.spend(SHOP)
    clock.sleep(60)
    limits.spend(SHOP)
    with pytest.raises(CallRefused):
        limits.spend(SHOP, 50)


def test_places_are_bounded_by_client_and_in_all_and_given_back() -> None:
    limits = make(ManualClock(), calls=3)
    with ExitStack() as held:
        for client in (SHOP, SHOP, Client("print")):
            held.enter_context(limits.call(client))
        assert limits.under_way == 3
        for client, limit in ((SHOP, "key_calls"), (ANYBODY, "calls")):
            with pytest.raises(CallRefused) as caught, limits.call(client):
                pass
            assert (caught.value.status, caught.value.limit) == (429, limit)
    assert limits.under_way == 0
    with limits.call(SHOP), limits.call(Client("vip", max_calls=1)):
        pass


def test_streams_of_events_have_places_of_their_own() -> None:
    limits = make(ManualClock())
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(limits.follow(SHOP))
        with pytest.raises(CallRefused, match="More than 2 event streams"):
            held.enter_context(limits.follow(SHOP))
        held.enter_context(limits.call(SHOP))
        held.enter_context(limits.follow(ANYBODY))
        with pytest.raises(CallRefused, match="Too many event streams"):
            held.enter_context(limits.follow(ANYBODY))
    with limits.follow(SHOP):
        pass
