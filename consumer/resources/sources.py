"""Who may download now: a source that does not answer must not hold what others need.

A download that waits for its host holds a slot, a thread of the window, and the results behind it in its partition. So

* a place (host and port, or bucket) gets at most `_MOST` downloads at once, and one that has never answered `_FIRST`;
* hosts that have never answered, strangers, share fewer downloads than the window has threads, and those of one
  domain (`domain_of`) a few of these, more with each answer;
* a place that has let `SILENT_AFTER` downloads in a row wait is silent. Its requests go to the retry topic untried.
  From there one at a time tries it, until it answers: it holds nobody but other retries;
* strangers are distrusted while those of `_MANY_DOMAINS` more domains were silent, or are being waited for, than
  answered; those of one domain while `_MANY_OF_A_DOMAIN` of it are. Then, and after its own silence, a stranger has
  `_HURRIED_S` for its first answer. After that silence it has the usual time from the retry topic, a few at once;
* distrusted strangers hold half of the window at most, with those that wait, and what is tried from the retry topic
  after a silence a quarter; strangers of one domain hold a quarter. What is beyond goes to the retry topic at once: a
  quarter of the window is always left for known hosts;
* a host that answers, but slowly (consumer/resources/slow_hosts.py), is worked on from the retry topic only, and so is
  every request for a known host that has waited `SLOW_DOWNLOAD_S` for its turn. All ports of a host have `_MOST`
  downloads together.

Only a slow failure is silence: a refused or dropped connection costs nobody anything.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from consumer.delivery.places import domain_of, host_of_place, place_of
from consumer.resources.priority_semaphore import Order
from consumer.resources.slow_hosts import SLOW_DOWNLOAD_S, SlowHosts
from consumer.resources.untried import Reason, UntriedSource
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import Clock
from cutstream.contract.messages import MAX_MESSAGE_CHARACTERS
from cutstream.errors import CutstreamError, FileTooLarge, NoSuchHost, SourceFailed, SourceUnavailable, TakesLong

log = logging.getLogger(__name__)

_Kind: TypeAlias = Literal["strangers", "probes", "unproven"]

SILENT_AFTER = 3
SLOW_S = 0.5
"""A failed attempt that took less is cheap: it is repeated in place, and is no silence."""

_MOST = 16
_FIRST = 4
_MOST_STRANGERS, _MOST_PROBES = 12, 8
_MANY_DOMAINS, _MANY_OF_A_DOMAIN, _MOST_SILENT_STRANGERS = 4, 2, 16
_AWAITED_S = 1.0  # a stranger that has not answered for so long counts as silent meanwhile
_HURRIED_S = 0.75
_PATIENCE_S = 5.0
_FORGOTTEN_S = 120.0  # without a new silence a place is tried as before
_REMEMBERED = 4096
_CHECK_INTERVAL_S = 0.25


@dataclass(slots=True)
class _Place:
    """A host or bucket. `limit` is the number of downloads at once; `silent` counts silent ones in a row."""

    name: str
    domain: str
    stranger: bool
    limit: int
    host: str
    in_flight: int = 0
    since_s: float = 0.0  # the beginning of the downloads in flight
    silent: int = 0
    last_silent_s: float = 0.0

    @property
    def is_silent(self) -> bool:
        return self.silent >= SILENT_AFTER


class _Waiter(NamedTuple):
    order: Order
    number: int
    places: list[_Place]
    again: bool
    since_s: float
    lot: float  # who of those that are too many goes: whoever sends the most has no better chance than his share

    @property
    def strange(self) -> bool:
        return any(place.stranger for place in self.places)

    @property
    def strange_domains(self) -> set[str]:
        return {place.domain for place in self.places if place.stranger}


class Sources:
    """Fetches sources, and decides when each may be tried. Thread-safe; remembers a bounded number of places.

    `window` is the number of photos that the worker carries at once. `count` is called for each request that goes on
    untried.
    """

    def __init__(
        self, objects: ObjectStore, window: int, clock: Clock, count: Callable[[Reason], None] = lambda reason: None
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._count = count
        self._most_strangers = max(1, min(_MOST_STRANGERS, window * 3 // 8))
        self._most_probes = max(1, min(_MOST_PROBES, window // 4))
        self._most_held = max(1, window * 3 // 4 - self._most_probes)
        self._most_held_by_a_domain = max(1, window // 4)
        self._most_unproven = max(1, window // 4)
        self._changed = threading.Condition()
        self._known: OrderedDict[str, _Place] = OrderedDict()  # those that have answered: none of the others ousts them
        self._others: OrderedDict[str, _Place] = OrderedDict()
        self._busy: dict[str, _Place] = {}  # those with downloads in flight
        self._domains: OrderedDict[str, int] = OrderedDict()  # downloads at once of the strangers of a domain
        self._by_host: Counter[str] = Counter()  # downloads in flight; a host may have many ports
        self._slow = SlowHosts(_MOST, clock)
        self._waiting: list[_Waiter] = []
        self._number = 0
        self._in_flight: Counter[_Kind] = Counter()
        self._silent_strangers: set[str] = set()  # each stranger that answers makes up for one of them
        self._next_warning_s = -math.inf
        self._last_silent_stranger_s = 0.0

    # -- fetching

    def fetch(self, address: str, again: bool = False, is_last: bool = True) -> bytes:
        """Fetch a source, and take note of its place's answer or silence. Raises what `ObjectStore.fetch` raises.

        Raises TakesLong if there was too little time for the download on the topics of requests, or would be for
        another that follows it.
        """
        name = place_of(address)
        if name == "file://":
            return self._objects.fetch(address)
        limit_s = self._limit_s(name, again)
        started_s = self._clock.monotonic()
        try:
            with self._slow.timing(host_of_place(name), again):
                data = self._objects.fetch(address, limit_s)
        except (SourceUnavailable, NoSuchHost) as exc:
            seconds = self._clock.monotonic() - started_s
            if isinstance(exc, SourceUnavailable) and exc.answered:
                self._note_answer(name)
            elif limit_s == SLOW_DOWNLOAD_S and seconds >= SLOW_DOWNLOAD_S:
                raise self._takes_long(name) from exc
            elif seconds >= SLOW_S:
                self._note_silence(name, exc)
            raise
        except (SourceFailed, FileTooLarge):
            self._note_answer(name)
            raise
        self._note_answer(name)
        if not (again or is_last) and self._clock.monotonic() - started_s >= SLOW_DOWNLOAD_S:
            raise self._takes_long(name)
        return data

    def fetch_own(self, address: str) -> bytes:
        """Fetch what the operator named, whoever else is silent."""
        return self._objects.fetch_own(address)

    @property
    def silent(self) -> int:
        """The number of places that are silent."""
        with self._changed:
            return sum(place.is_silent for places in (self._known, self._others) for place in places.values())

    # -- admission

    @contextmanager
    def admission(
        self, addresses: Iterable[str], again: bool, order: Order, give_up: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the right to fetch these addresses inside the block. Raises Untried at once, or after a short wait.

        `again` says that the request comes from the retry topic. The lowest `order` of those that wait comes first.
        `give_up` is called four times a second; what it raises ends the wait. Raises TakesLong for a request that would
        hold others here, and not on the retry topic.
        """
        names = {place_of(address) for address in addresses} - {"file://"}
        with self._changed:
            self._number += 1
            places = [self._place(name) for name in sorted(names)]
            waiter = _Waiter(order, self._number, places, again, self._clock.monotonic(), random.random())
            kinds = self._wait(waiter, give_up) if places else ()
        try:
            yield
        finally:
            with self._changed:
                for place in places:
                    self._end(place)
                self._in_flight.subtract(kinds)
                self._changed.notify_all()

    def _wait(self, waiter: _Waiter, give_up: Callable[[], None]) -> tuple[_Kind, ...]:
        """Wait until the downloads may begin, and count them. Return what they count as."""
        self._waiting.append(waiter)
        try:
            while not (self._has_room(waiter) and self._is_next(waiter)):
                waited_s = self._clock.monotonic() - waiter.since_s
                if waiter.strange and (waited_s >= _PATIENCE_S or self._is_one_too_many(waiter)):
                    raise self._untried("too many hosts that have never answered are being tried", "crowded")
                if self._holds_others(waiter, waited_s):
                    raise self._takes_long(*(place.name for place in waiter.places))
                self._changed.wait(_CHECK_INTERVAL_S)
                give_up()
            kind = self._kind(waiter)
            for place in waiter.places:
                self._begin(place)
            self._in_flight.update(kind)
            return kind
        finally:
            self._waiting.remove(waiter)
            self._changed.notify_all()

    def _begin(self, place: _Place) -> None:
        if place.in_flight == 0:
            place.since_s = self._clock.monotonic()
            self._busy[place.name] = place
        place.in_flight += 1
        self._by_host[place.host] += 1

    def _end(self, place: _Place) -> None:
        place.in_flight -= 1
        if place.in_flight == 0:
            self._busy.pop(place.name, None)
        self._by_host[place.host] -= 1
        if not self._by_host[place.host]:
            del self._by_host[place.host]

    def _holds_others(self, waiter: _Waiter, waited_s: float) -> bool:
        """Return whether a request for known hosts waits too long for its turn, or beside too many of its kind."""
        if waiter.again or waiter.strange:
            return False
        if waited_s >= SLOW_DOWNLOAD_S:
            return True
        others = sum(self._kind(other) == ("unproven",) for other in self._waiting if other.lot < waiter.lot)
        return self._kind(waiter) == ("unproven",) and self._in_flight["unproven"] + others >= self._most_unproven

    def _is_one_too_many(self, waiter: _Waiter) -> bool:
        """Return whether others hold all the threads of the window that distrusted strangers may hold. Lots decide."""
        kind = self._kind(waiter)
        if "strangers" not in kind:
            return False
        ahead = [other for other in self._waiting if other.lot < waiter.lot and self._kind(other) == kind]
        if self._distrusts_strangers and self._in_flight["strangers"] + len(ahead) >= self._most_held:
            return True
        return any(
            self._in_flight_of(domain) + sum(domain in other.strange_domains for other in ahead)
            >= self._most_held_by_a_domain
            for domain in waiter.strange_domains
            if self._distrusts(domain)
        )

    def _in_flight_of(self, domain: str) -> int:
        return sum(place.in_flight for place in self._busy.values() if place.stranger and place.domain == domain)

    def _is_probe(self, waiter: _Waiter) -> bool:
        return waiter.again and any(place.is_silent or (place.stranger and place.silent) for place in waiter.places)

    def _kind(self, waiter: _Waiter) -> tuple[_Kind, ...]:
        """Return which of the shared limits apply to a request. Probes do not take the strangers' places."""
        if self._is_probe(waiter):
            return ("probes",)
        if waiter.strange:
            return ("strangers",)
        return ("unproven",) if self._is_unproven(waiter) else ()

    def _is_unproven(self, waiter: _Waiter) -> bool:
        """Return whether a request may well turn out to be slow: others did, and its host's answers were few."""
        if waiter.again or not self._slow.are_many:
            return False
        return not all(self._slow.is_quick(place.host) for place in waiter.places)

    def _is_next(self, waiter: _Waiter) -> bool:
        return not any(other < waiter and self._fits(other) for other in self._waiting)

    def _has_room(self, waiter: _Waiter) -> bool:
        """Return whether the limits allow the downloads. Raises Untried if only a probe may be, and this cannot."""
        probes_left = self._in_flight["probes"] < self._most_probes
        for place in waiter.places:
            self._forget_old_silence(place)
            if place.is_silent and not (waiter.again and place.in_flight == 0 and probes_left):
                tried = waiter.again and place.in_flight > 0
                message = f"{place.name} has not answered the last {place.silent} downloads"
                raise self._untried(message, "silent", place.name, tried)
        if self._is_probe(waiter) and not probes_left:
            raise self._untried("too many hosts that do not answer are being tried", "strangers")
        if not waiter.again:
            for place in waiter.places:
                if not place.stranger and self._slow.is_slow(place.host):
                    raise self._takes_long(place.name)
        return self._fits(waiter)

    def _fits(self, waiter: _Waiter) -> bool:
        if "strangers" in self._kind(waiter):
            if self._in_flight["strangers"] >= self._most_strangers:
                return False
            if any(self._in_flight_of(domain) >= self._limit_of(domain) for domain in waiter.strange_domains):
                return False
        if self._kind(waiter) == ("unproven",) and self._in_flight["unproven"] >= self._most_unproven:
            return False
        return all(
            place.in_flight < place.limit
            and self._by_host[place.host] < (_MOST if waiter.again else self._slow.limit(place.host))
            for place in waiter.places
        )

    def _untried(self, message: str, reason: Reason, place: str = "", tried_by_another: bool = False) -> UntriedSource:
        self._count(reason)
        return UntriedSource(f"{message}, so this one was not tried", reason, place, tried_by_another)

    def _takes_long(self, *places: str) -> TakesLong:
        self._count("slow")
        names = " or ".join(places)[:MAX_MESSAGE_CHARACTERS]
        return TakesLong(f"{names} answers slowly, or others wait for it: the download goes on from the retry topic")

    # -- what is known about places

    def _is_distrusted(self, place: _Place) -> bool:
        return place.stranger and (place.silent > 0 or self._distrusts_strangers or self._distrusts(place.domain))

    @property
    def _distrusts_strangers(self) -> bool:
        return len(set(map(domain_of, self._suspects))) >= _MANY_DOMAINS

    def _distrusts(self, domain: str) -> bool:
        return sum(domain_of(name) == domain for name in self._suspects) >= _MANY_OF_A_DOMAIN

    @property
    def _suspects(self) -> set[str]:
        """The strangers that were silent of late, and those that have let others wait for `_AWAITED_S` by now."""
        now_s = self._clock.monotonic()
        if now_s - self._last_silent_stranger_s > _FORGOTTEN_S:
            self._silent_strangers.clear()
        awaited = (place.name for place in self._busy.values() if place.stranger and now_s - place.since_s > _AWAITED_S)
        return self._silent_strangers.union(awaited)

    def _limit_s(self, name: str, again: bool) -> float | None:
        """Return how long a download may take, if there is reason to doubt that the place answers at all."""
        with self._changed:
            place = self._place(name)
            hurried = self._is_distrusted(place) and not (again and place.silent)
            if not hurried and not again and not place.stranger and self._slow.are_many:
                return SLOW_DOWNLOAD_S
        return _HURRIED_S if hurried else None

    def _limit_of(self, domain: str) -> int:
        return self._domains.get(domain, _FIRST)

    def _trust(self, domain: str) -> None:
        self._domains[domain] = min(self._most_strangers, self._limit_of(domain) + 1)
        self._domains.move_to_end(domain)
        if len(self._domains) > _REMEMBERED:
            self._domains.popitem(last=False)

    def _place(self, name: str) -> _Place:
        for places in (self._known, self._others):
            if name in places:
                places.move_to_end(name)
                return places[name]
        stranger = name.startswith("http://")  # the settings say where buckets are
        place = _Place(name, domain_of(name), stranger, _FIRST if stranger else _MOST, host_of_place(name))
        self._remember(self._others, place)
        return place

    @staticmethod
    def _remember(places: OrderedDict[str, _Place], place: _Place) -> None:
        places[place.name] = place
        if len(places) > _REMEMBERED:
            places.popitem(last=False)

    def _forget_old_silence(self, place: _Place) -> None:
        if place.is_silent and self._clock.monotonic() - place.last_silent_s > _FORGOTTEN_S:
            place.silent = SILENT_AFTER - 1

    def _note_answer(self, name: str) -> None:
        with self._changed:
            place = self._place(name)
            if place.is_silent:
                log.info("%s answers again", name)
            if place.stranger:
                place.stranger = False
                self._trust(place.domain)
                if self._silent_strangers:
                    self._silent_strangers.pop()
            if self._others.pop(name, None):
                self._remember(self._known, place)
            place.silent, place.limit = 0, min(_MOST, place.limit + 1)
            self._changed.notify_all()

    def _note_silence(self, name: str, error: CutstreamError) -> None:
        with self._changed:
            place, now_s = self._place(name), self._clock.monotonic()
            place.silent, place.last_silent_s = place.silent + 1, now_s
            if place.silent == SILENT_AFTER:
                place.limit = 1
                log.warning(
                    "%d downloads in a row had no answer: %s. Requests for this host or bucket are tried one at a "
                    "time, from the retry topic",
                    SILENT_AFTER,
                    str(error)[:MAX_MESSAGE_CHARACTERS],
                )
            if place.stranger:
                self._domains.pop(place.domain, None)
                self._note_silent_stranger(name, now_s)
            self._changed.notify_all()

    def _note_silent_stranger(self, name: str, now_s: float) -> None:
        was_distrusted = self._distrusts_strangers
        self._last_silent_stranger_s = now_s
        if len(self._silent_strangers) < _MOST_SILENT_STRANGERS:
            self._silent_strangers.add(name)
        if self._distrusts_strangers and not was_distrusted and now_s >= self._next_warning_s:
            self._next_warning_s = now_s + _FORGOTTEN_S
            log.warning(
                "hosts of %d more domains that were asked for the first time did not answer than did, the last of them "
                "%s. Until others answer, such hosts have %s s for their first answer",
                _MANY_DOMAINS,
                name[:MAX_MESSAGE_CHARACTERS],
                _HURRIED_S,
            )
