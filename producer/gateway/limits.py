"""What each client may do at once and in a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from cutstream.clock import Clock
from producer.gateway.errors import too_many
from producer.gateway.keys import Client

_MINUTE_S = 60.0


@dataclass
class _Window:
    """The photos of one client in the current minute, which begins with the first of them."""

    began_s: float
    used: int = 0


@dataclass
class _Places:
    """What may go on at once, and how much of it each client has under way."""

    most: int
    what: str
    of: Counter[str] = field(default_factory=Counter)


class Limits:
    """Counts the photos and calls of clients, by their names. Used on one event loop."""

    def __init__(
        self,
        clock: Clock,
        *,
        requests_per_minute: int | None,
        max_calls_per_key: int,
        max_calls: int,
        max_followers: int,
    ) -> None:
        self._clock = clock
        self._per_minute = requests_per_minute
        self._per_key = max_calls_per_key
        self._windows: dict[str, _Window] = {}
        self._calls = _Places(max_calls, "calls")
        self._followers = _Places(max_followers, "event streams")

    @property
    def under_way(self) -> int:
        """The calls that hold a place now."""
        return self._calls.of.total()

    def headers(self, client: Client) -> dict[str, str]:
        """Return the headers with which remove.bg tells clients what is left. None without a limit."""
        limit = self._limit(client)
        if limit is None:
            return {}
        window = self._window(client)
        reset_s = self._clock.wall() + window.began_s + _MINUTE_S - self._clock.monotonic()
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - window.used)),
            "X-RateLimit-Reset": str(int(reset_s)),
        }

    def spend(self, client: Client, photos: int = 1) -> None:
        """Count photos that a client sends. Raises CallRefused if they are more than it may send in this minute."""
        limit = self._limit(client)
        if limit is None:
            return
        window = self._window(client)
        if window.used + photos > limit and (window.used or photos <= limit):
            left_s = window.began_s + _MINUTE_S - self._clock.monotonic()
            raise too_many("Rate limit exceeded", left_s, self.headers(client), "key_rate")
        window.used += photos  # a job that alone is above the limit uses up the whole minute, or it could never be sent

    def call(self, client: Client) -> AbstractContextManager[None]:
        """Hold one of the places for synchronous calls. Raises CallRefused if none is free."""
        return self._held(self._calls, client)

    def follow(self, client: Client) -> AbstractContextManager[None]:
        """Hold one of the places for streams of events. A key may have as many as calls. Raises CallRefused."""
        return self._held(self._followers, client)

    @contextmanager
    def _held(self, places: _Places, client: Client) -> Iterator[None]:
        most = self._per_key if client.max_calls is None else client.max_calls
        if client.name and places.of[client.name] >= most:
            raise too_many(f"More than {most} {places.what} at once", 1, self.headers(client), "key_calls")
        if places.of.total() >= places.most:
            raise too_many(f"Too many {places.what} at once", 2, self.headers(client), "calls")
        places.of[client.name] += 1
        try:
            yield
        finally:
            places.of[client.name] -= 1
            if not places.of[client.name]:
                del places.of[client.name]

    def _limit(self, client: Client) -> int | None:
        return client.requests_per_minute or (self._per_minute if client.name else None)

    def _window(self, client: Client) -> _Window:
        now = self._clock.monotonic()
        window = self._windows.get(client.name)
        if window is None or now - window.began_s >= _MINUTE_S:
            window = self._windows[client.name] = _Window(now)
        return window
