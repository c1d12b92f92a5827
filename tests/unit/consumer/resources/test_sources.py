"""Which sources may be tried, by the answers and silences of those before."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from consumer.resources.sources import SILENT_AFTER, SLOW_S, Sources
from consumer.resources.untried import Untried
from cutstream.clock import ManualClock
from cutstream.errors import (
    AddressNotAllowed,
    Cancelled,
    CutstreamError,
    FileTooLarge,
    NoSuchHost,
    SourceFailed,
    SourceUnavailable,
    TakesLong,
)
from tests.support.group import wait_until

SLOW = SourceUnavailable("timed out")
FAST = SourceUnavailable("refused")


class Objects:
    """Fetches from hosts whose behaviour is set by name. The default is an answer."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.outcomes: dict[str, Exception] = {}
        self.seconds: dict[str, float] = {}
        self.limits_s: list[float | None] = []

    def fetch(self, uri: str, limit_s: float | None = None) -> bytes:
        self.limits_s.append(limit_s)
        seconds = self.seconds.get(uri.split("/")[2], 0.0)
        self._clock.sleep(min(seconds, limit_s or seconds))
        if limit_s is not None and limit_s < seconds:
            raise SLOW
        outcome = self.outcomes.get(uri.split("/")[2])
        if outcome is SLOW:
            self._clock.sleep(SLOW_S)
        if outcome:
            raise outcome
        return b"photo"


class Site:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.objects: Any = Objects(self.clock)
        self.untried: list[str] = []
        self.sources = Sources(self.objects, 32, self.clock, self.untried.append)

    def fetch(self, address: str, times: int = 1) -> None:
        for _ in range(times):
            with suppress(CutstreamError):
                self.sources.fetch(address)

    def silence(self, host: str, times: int = SILENT_AFTER) -> None:
        self.objects.outcomes[host] = SLOW
        self.fetch(f"http://{host}/a", times)

    def admit(self, address: str, again: bool = False, give_up=lambda: None):
        return self.sources.admission([address], again, (), give_up)

    def refusal(self, address: str, again: bool = False) -> Untried:
        """Return the error of a request that does not even wait."""
        with pytest.raises(Untried) as raised, self.admit(address, again, give_up=pytest.fail):
            pass
        return raised.value

    def enter(self, held: ExitStack, addresses: list[str], again: bool = False) -> None:
        for address in addresses:
            held.enter_context(self.admit(address, again, give_up=pytest.fail))


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_host_that_lets_downloads_wait_is_silent_and_its_requests_go_on_untried(site: Site) -> None:
    site.silence("dead", SILENT_AFTER - 1)
    with site.admit("http://dead/a"):
        pass
    site.silence("dead", 1)
    refused = site.refusal("https://DEAD/b.jpg?secret=1")
    assert (refused.reason, refused.tried_by_another, refused.answered) == ("silent", False, False)
    assert "http://dead has not answered the last 3 downloads" in str(refused)
    assert (site.sources.silent, site.untried) == (1, ["silent"])
    with site.admit("http://dead:81/a"), site.admit("http://other/a"), site.admit("file:///dead/a"):
        pass


def test_one_request_at_a_time_probes_it_from_the_retry_topic(site: Site) -> None:
    site.silence("dead")
    with site.admit("http://dead/a", again=True):
        assert site.refusal("http://dead/b", again=True).tried_by_another
        assert not site.refusal("http://dead/b").tried_by_another  # no time has passed for this one
    with site.admit("http://dead/b", again=True):
        pass


@pytest.mark.parametrize(
    "answer", [None, SourceFailed("404"), FileTooLarge("big"), SourceUnavailable("503", answered=True)]
)
def test_every_answer_ends_the_silence(site: Site, answer: Exception | None) -> None:
    site.silence("dead")
    site.objects.outcomes["dead"] = answer
    site.fetch("http://dead/a")
    assert site.sources.silent == 0
    with site.admit("http://dead/a"):
        pass


@pytest.mark.parametrize("failure", [FAST, AddressNotAllowed("private"), NoSuchHost("no such name")])
def test_what_fails_at_once_is_neither_an_answer_nor_a_silence(site: Site, failure: Exception) -> None:
    site.objects.outcomes["host"] = failure
    site.fetch("http://host/a", 100)
    assert site.sources.silent == 0
    site.silence("host")
    site.objects.outcomes["host"] = failure
    site.fetch("http://host/a")
    assert site.sources.silent == 1


def test_an_answer_between_them_keeps_a_host_in_use(site: Site) -> None:
    for _ in range(10):
        site.silence("flaky", SILENT_AFTER - 1)
        del site.objects.outcomes["flaky"]
        site.fetch("http://flaky/a")
    assert site.sources.silent == 0


def test_a_silence_of_long_ago_is_checked_by_the_next_request(site: Site) -> None:
    site.silence("dead")
    site.clock.sleep(121)
    with site.admit("http://dead/a"):
        pass
    site.silence("dead", 1)
    assert site.refusal("http://dead/a").reason == "silent"


def test_a_host_that_comes_back_gets_more_downloads_with_each_answer(site: Site) -> None:
    site.silence("dead")
    del site.objects.outcomes["dead"]
    site.fetch("http://dead/a", 3)
    with ExitStack() as held:
        site.enter(held, ["http://dead/a"] * 4)
        with pytest.raises(Cancelled), site.admit("http://dead/a", give_up=cancel):
            pass


def cancel() -> None:
    raise Cancelled("stop")


def test_strangers_share_fewer_downloads_than_the_window_has_threads(site: Site) -> None:
    site.fetch("http://known/a")
    with ExitStack() as held:
        site.enter(held, [f"http://new-{n}/a" for n in range(12)])
        with pytest.raises(Untried) as raised, site.admit("http://new/a", give_up=lambda: site.clock.sleep(5.0)):
            pass
        assert (raised.value.reason, raised.value.tried_by_another) == ("crowded", False)
        site.enter(held, ["http://known/a"] * 5 + ["s3://bucket/a"] * 16 + ["file:///a"] * 50)
    with ExitStack() as held:
        site.enter(held, [f"http://new-{n}/a" for n in range(12)])


def limits_s(site: Site, address: str) -> list[float | None]:
    """Return the time limits that the address has at first and from the retry topic."""
    for again in (False, True):
        with suppress(CutstreamError):
            site.sources.fetch(address, again)
    return list(site.objects.limits_s[-2:])


def test_after_a_few_silent_strangers_others_have_to_hurry_or_wait_for_the_retry_topic(site: Site) -> None:
    site.fetch("http://known/a")
    for host in "abcd":
        site.silence(host, 1)
    site.objects.outcomes["new"] = FAST
    assert limits_s(site, "http://new/a") == [0.75, 0.75]
    for n in range(9):
        site.objects.outcomes[f"new-{n}"] = SLOW
        assert limits_s(site, f"http://new-{n}/a") == [0.75, None]
    assert limits_s(site, "http://known/a") == limits_s(site, "s3://bucket/a") == [None, None]
    with ExitStack() as held:
        site.enter(held, [f"http://new-{n}/a" for n in range(8)], again=True)
        assert site.refusal("http://new-8/a", again=True).reason == "strangers"
        site.enter(held, [f"http://new-{n}/a" for n in range(20, 32)])
        site.enter(held, ["http://known/a", "s3://bucket/a"])
    for n in range(10):  # each that answers makes up for one
        assert limits_s(site, f"http://newer-{n}/a")[0] == 0.75
    assert limits_s(site, "http://newest/a") == [None, None]


def test_one_silent_host_says_nothing_about_strangers_and_is_forgotten(site: Site) -> None:
    site.silence("dead", 10)
    site.objects.outcomes["new"] = FAST
    assert limits_s(site, "http://new/a") == [None, None]
    for host in "abc":
        site.silence(host, 1)
    assert limits_s(site, "http://new/a") == [0.75, 0.75]
    site.clock.sleep(121)
    assert limits_s(site, "http://new/a") == [None, None]


# The shares of a window of 32. docs/runtime.md states them.


class Crowd:
    """Requests on threads of their own that wait for their downloads, until the block ends."""

    def __init__(self, site: Site, addresses: list[str]) -> None:
        self.refused: list[Untried] = []
        self._site, self._done = site, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address,)) for address in addresses]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def _ask(self, address: str) -> None:
        try:
            with self._site.admit(address, give_up=lambda: cancel() if self._done.is_set() else None):
                pytest.fail("there was no room")
        except Untried as exc:
            self.refused.append(exc)
        except Cancelled:
            pass

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def test_distrusted_strangers_leave_a_quarter_of_the_window_to_known_hosts(site: Site) -> None:
    site.fetch("http://known/a")
    for n in range(8):
        site.silence(f"silent-{n}", 1)
    with ExitStack() as held:
        site.enter(held, [f"http://silent-{n}/a" for n in range(8)], again=True)
        site.enter(held, [f"http://new-{n}/a" for n in range(12)])
        crowd = held.enter_context(Crowd(site, [f"http://newer-{n}/a" for n in range(50)]))
        wait_until(lambda: len(crowd.refused) == 46, "more than 8 + 12 + 4 threads are held")
        assert {refused.reason for refused in crowd.refused} == {"crowded"}
        site.enter(held, ["http://known/a"] * 5)


@pytest.mark.parametrize("hosts", ["h{n}.evil.example", "198.51.100.{n}", "[2001:db8::{n}]:81"])
def test_the_strangers_of_one_domain_hold_a_quarter_of_the_window_and_few_downloads(site: Site, hosts: str) -> None:
    addresses = [f"http://{hosts.format(n=n)}/a" for n in range(1, 51)]
    with ExitStack() as held:
        site.enter(held, addresses[:4])
        crowd = held.enter_context(Crowd(site, addresses[4:]))
        wait_until(lambda: len(site.sources._waiting) == 46, "they do not wait")
        assert not crowd.refused  # they may still answer
        site.clock.sleep(1.1)
        wait_until(lambda: len(crowd.refused) == 42, "more than 4 + 4 threads are held")
        site.enter(held, [f"http://new-{n}.example.org/a" for n in range(4)])
        site.enter(held, [f"http://shop-{n}/a" for n in range(4)])
    assert limits_s(site, "http://another.example.org/a") == [None, None]


def test_a_domain_whose_hosts_answer_gets_more_downloads(site: Site) -> None:
    for n in range(4):
        site.fetch(f"http://h{n}.cdn.example/a")
    with ExitStack() as held:
        site.enter(held, [f"http://new-{n}.cdn.example/a" for n in range(8)])
        with pytest.raises(Cancelled), site.admit("http://new.cdn.example/a", give_up=cancel):
            pass
    site.silence("h.cdn.example", 1)
    with ExitStack() as held:
        site.enter(held, [f"http://new-{n}.cdn.example/a" for n in range(4)])
        with pytest.raises(Cancelled), site.admit("http://new.cdn.example/a", give_up=cancel):
            pass


def test_a_single_new_host_that_is_slow_has_its_requests_wait(site: Site) -> None:
    with ExitStack() as held:
        site.enter(held, ["http://new/a"] * 4)
        crowd = held.enter_context(Crowd(site, ["http://new/a"] * 28))
        wait_until(lambda: len(site.sources._waiting) == 28, "they do not wait")
        site.clock.sleep(4.0)
        with pytest.raises(Cancelled), site.admit("http://new/a", give_up=cancel):
            pass
        assert not crowd.refused


def test_a_stranger_that_was_silent_has_to_hurry_whoever_else_answers(site: Site) -> None:
    for n in range(10):
        site.silence(f"dead-{n}", 1)
        site.fetch("http://new/a")
        site.fetch(f"http://new-{n}/a")
    assert limits_s(site, "http://dead-1/a") == [0.75, None]
    assert limits_s(site, "http://newer/a") == [None, None]
    with ExitStack() as held:
        site.enter(held, [f"http://dead-{n}/a" for n in range(2, 10)], again=True)
        assert site.refusal("http://dead-0/a", again=True).reason == "strangers"
        site.enter(held, [f"http://other-{n}/a" for n in range(12)])


def test_a_stranger_that_answers_makes_up_for_one_that_was_silent(site: Site) -> None:
    for n in range(100):
        site.silence(f"dead-{n}", 1)
    for n in range(12):
        assert limits_s(site, f"http://new-{n}/a")[0] == 0.75
        site.clock.sleep(5.0)
    assert limits_s(site, "http://new-12/a")[0] == 0.75
    assert limits_s(site, "http://new-13/a")[0] is None


def test_a_million_hosts_take_a_bounded_memory_and_oust_no_host_that_has_answered(site: Site) -> None:
    site.fetch("http://known/a")
    for n in range(10_000):
        with site.admit(f"http://new-{n}/a", give_up=pytest.fail):
            pass
    assert len(site.sources._others) + len(site.sources._known) <= 2 * 4096
    with ExitStack() as held:
        site.enter(held, ["http://known/a"] * 5)


def test_the_first_in_order_is_the_next_and_a_place_that_is_busy_holds_up_no_other(site: Site) -> None:
    entered: list[int] = []

    def work(number: int) -> None:
        with site.sources.admission(["http://slow/a"], False, (number,)):
            entered.append(number)

    with ExitStack() as held:
        site.enter(held, ["http://slow/a"] * 4)
        threads = [threading.Thread(target=work, args=(number,)) for number in (3, 1, 2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(site.sources._waiting) == 3, "they do not wait")
        with site.sources.admission(["http://other/a"], False, (9,), pytest.fail):
            assert entered == []
    for thread in threads:
        thread.join()
    assert sorted(entered) == [1, 2, 3]


def test_a_request_needs_all_its_places(site: Site) -> None:
    site.silence("dead")
    addresses = ["http://alive/a", "http://dead/b"]
    with pytest.raises(Untried) as raised, site.sources.admission(addresses, False, ()):
        pass
    assert raised.value.place == "http://dead"
    with ExitStack() as held:  # nothing of the refused one is left behind
        site.enter(held, ["http://alive/a"] * 4)


def takes_long(site: Site, address: str, give_up=pytest.fail) -> bool:
    """Return whether a request on the topics of requests is sent to the retry topic as slow."""
    with suppress(TakesLong), site.admit(address, give_up=give_up):
        return False
    return True


def test_a_host_that_answers_slowly_is_left_to_the_retry_topic_whatever_the_port(site: Site) -> None:
    site.fetch("http://slow.example/a")
    site.objects.seconds["slow.example:81"] = 9.0
    site.objects.outcomes["slow.example:81"] = SourceFailed("404")
    site.fetch("http://slow.example:81/a")
    assert takes_long(site, "http://slow.example/b")
    assert not takes_long(site, "http://other.example/b")
    assert site.untried == ["slow"]
    with site.admit("http://slow.example/b", again=True, give_up=pytest.fail):
        pass


def test_a_host_that_gets_fast_again_gets_its_place_back(site: Site) -> None:
    site.objects.seconds["slow.example"] = 2.5
    site.fetch("http://slow.example/a")
    site.objects.seconds.clear()
    for quick in range(3):
        assert takes_long(site, "http://slow.example/a"), quick
        site.sources.fetch("http://slow.example/a", again=True)
    assert not takes_long(site, "http://slow.example/a")


def test_one_that_was_slow_long_ago_is_tried_again(site: Site) -> None:
    site.objects.seconds["slow.example"] = 2.5
    site.fetch("http://slow.example/a")
    site.clock.sleep(121)
    assert not takes_long(site, "http://slow.example/a")


def test_a_download_under_way_marks_its_host(site: Site) -> None:
    site.fetch("http://slow.example/a")
    late: list[bool] = []

    def fetch(uri: str, limit_s: float | None = None) -> bytes:
        for seconds in (1.0, 1.5):
            site.clock.sleep(seconds)
            late.append(takes_long(site, "http://slow.example:8080/b") or takes_long(site, "http://slow.example/b"))
        return b"photo"

    site.objects.fetch = fetch
    site.sources.fetch("http://slow.example/a")
    assert late == [False, True]


def test_all_ports_of_a_host_have_the_downloads_of_one(site: Site) -> None:
    addresses = [f"http://known.example:{port}/a" for port in range(81, 85)]
    for address in addresses:
        site.fetch(address, 16)
    with ExitStack() as held:
        site.enter(held, addresses * 4)
        for port in (81, 84):
            with pytest.raises(Cancelled), site.admit(f"http://known.example:{port}/b", give_up=cancel):
                pass


def test_who_waits_long_for_a_known_host_goes_to_the_retry_topic(site: Site) -> None:
    site.fetch("http://known.example/a", 16)
    with ExitStack() as held:
        site.enter(held, ["http://known.example/a"] * 16)
        assert takes_long(site, "http://known.example/a", lambda: site.clock.sleep(2.5))


def test_many_slow_hosts_leave_most_of_the_window_to_those_that_are_known_to_be_quick(site: Site) -> None:
    site.fetch("http://quick.example/a", 16)
    for number in range(40):
        site.fetch(f"http://h{number}.example/a")
    for number in range(4):
        site.objects.seconds[f"h{number}.example"] = 9.0
        site.fetch(f"http://h{number}.example/a")
    with ExitStack() as held:
        site.enter(held, [f"http://h{number}.example/a" for number in range(4, 12)])
        assert takes_long(site, "http://h12.example/a", lambda: None)
        site.enter(held, ["http://quick.example/a"] * 16)
    site.objects.seconds["h13.example"] = 9.0
    before_s = site.clock.monotonic()
    with pytest.raises(TakesLong):
        site.sources.fetch("http://h13.example/a")
    assert site.clock.monotonic() - before_s == 2.0, "it held what others need"
    assert site.sources.fetch("http://h13.example/a", again=True) == b"photo"


def test_a_slow_photo_leaves_no_time_for_its_background_on_the_topics_of_requests(site: Site) -> None:
    site.objects.seconds["slow.example"] = 9.0
    with pytest.raises(TakesLong):
        site.sources.fetch("http://slow.example/a", is_last=False)
    for again, is_last in ((True, False), (False, True)):
        assert site.sources.fetch("http://slow.example/a", again, is_last) == b"photo"
