"""Which hosts answer, but slowly: their downloads belong on the retry topic, where they hold nobody but each other.

Hosts are counted by name or address, whatever the port. A host is slow while a download of it takes longer than
`SLOW_DOWNLOAD_S`, and after one that did, until `_QUICK_AGAIN` in a row were quick or `_FORGOTTEN_S` have passed.

A host shows only by its first download that it is slow. While `_MANY` surprised the topics of requests of late, every
download there has `SLOW_DOWNLOAD_S`, and hosts that are not known to be quick share a part of the window.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cutstream.clock import Clock

SLOW_DOWNLOAD_S = 2.0

_QUICK_AGAIN = 3
_MANY = 4
_FORGOTTEN_S = 120.0
_REMEMBERED = 4096


@dataclass(slots=True)
class _Host:
    """`quick` counts quick downloads in a row, and `limit` how many may be at once on the topics of requests."""

    limit: int
    quick: int = 0
    slow: bool = False
    slow_at_s: float = 0.0
    started_s: dict[int, float] = field(default_factory=dict)  # of the downloads under way, without retries


class SlowHosts:
    """Thread-safe; remembers a bounded number of hosts. `most` is how many downloads a host has at once."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._busy: dict[str, _Host] = {}  # those with downloads under way
        self._surprises: OrderedDict[str, float] = OrderedDict()  # hosts that were slow on the topics of requests
        self._number = 0

    @contextmanager
    def timing(self, host: str, again: bool) -> Iterator[None]:
        """Take note of how long a download inside the block takes. `again` says that it is from the retry topic."""
        with self._lock:
            self._number += 1
            number, found, began_s = self._number, self._host(host), self._clock.monotonic()
            if not again:
                found.started_s[number] = began_s
                self._busy[host] = found
        failed = True
        try:
            yield
            failed = False
        finally:
            with self._lock:
                if not again:
                    del found.started_s[number]
                    if not found.started_s:
                        self._busy.pop(host, None)
                self._note(host, found, began_s, again, failed)

    def is_slow(self, host: str) -> bool:
        with self._lock:
            found, now_s = self._host(host), self._clock.monotonic()
            if found.slow and now_s - found.slow_at_s > _FORGOTTEN_S:
                found.slow = False
            return found.slow or _is_late(found, now_s)

    def is_quick(self, host: str) -> bool:
        """Return whether the last downloads were quick, and not just the first."""
        with self._lock:
            found = self._host(host)
            return found.quick >= _QUICK_AGAIN and not found.slow

    def limit(self, host: str) -> int:
        """Return how many downloads the host may have at once on the topics of requests."""
        with self._lock:
            return self._host(host).limit

    @property
    def are_many(self) -> bool:
        """Return whether so many hosts turned out to be slow of late that more are to be expected."""
        with self._lock:
            now_s = self._clock.monotonic()
            late = {name for name, host in self._busy.items() if _is_late(host, now_s)}
            late.update(name for name, at_s in self._surprises.items() if now_s - at_s <= _FORGOTTEN_S)
            return len(late) >= _MANY

    def _note(self, name: str, host: _Host, began_s: float, again: bool, failed: bool) -> None:
        now_s = self._clock.monotonic()
        if now_s - began_s < SLOW_DOWNLOAD_S:
            if not failed:
                host.quick, host.limit = host.quick + 1, min(self._most, host.limit + 1)
                host.slow = host.slow and host.quick < _QUICK_AGAIN
            return
        host.quick, host.limit, host.slow, host.slow_at_s = 0, 1, True, now_s
        if not again:
            self._surprises[name] = now_s
            self._surprises.move_to_end(name)
            if len(self._surprises) > _MANY:
                self._surprises.popitem(last=False)

    def _host(self, name: str) -> _Host:
        host = self._hosts.pop(name, None) or _Host(self._most)
        self._hosts[name] = host
        if len(self._hosts) > _REMEMBERED:
            self._hosts.popitem(last=False)
        return host


def _is_late(host: _Host, now_s: float) -> bool:
    return any(now_s - began_s >= SLOW_DOWNLOAD_S for began_s in host.started_s.values())
