"""The numbers behind the page: this process's own metrics, and those of other workers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from pydantic import SecretStr

from cutstream.clock import Clock
from cutstream.exposition import read_registry
from cutstream.metrics import Metrics
from cutstream.watching.scraping import INTERVAL_S, KEPT, STALE_S, Observed, Scrape, Scraper
from cutstream.watching.view import RETRY_TOPIC, View, view_of

_FRESH_S = 0.25  # whoever asks more often is answered from memory


class Sampling:
    """Yields the view of this worker and of the `others`. Thread-safe.

    The others are asked once a second between `start` and `stop`, else only when `asked_view` is called. `address`
    names this worker. Without `metrics` this process is no worker, and only the others are shown.
    """

    def __init__(
        self,
        metrics: Metrics | None,
        address: str,
        clock: Clock,
        others: Sequence[str] = (),
        token: SecretStr | None = None,
        retry_topic: str = RETRY_TOPIC,
    ) -> None:
        self._metrics = metrics
        self._address = address
        self._clock = clock
        self._others = [other for other in others if other != address]
        self._token = token
        self._retry_topic = retry_topic
        self._on_call = Scraper(self._others, token, clock)
        self._asked_s = -INTERVAL_S
        self._asking = threading.Lock()
        self._own: deque[Scrape] = deque(maxlen=KEPT)
        self._scraper: Scraper | None = None
        self._view: View | None = None
        self._viewed_s = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to ask the other workers."""
        with self._lock:
            if self._scraper is None and self._others:
                self._view = None  # it is without them
                self._scraper = Scraper(self._others, self._token, self._clock)
                self._scraper.__enter__()

    def stop(self) -> None:
        """Ask the other workers no more."""
        with self._lock:
            if self._scraper is not None:
                self._scraper.__exit__(None, None, None)
                self._scraper = None

    @property
    def may_wait(self) -> bool:
        """True if `asked_view` asks other workers."""
        return bool(self._others) and self._scraper is None

    def asked_view(self) -> View:
        """Return the view after asking the others, if nobody has done so within a second. May take three seconds.

        Whoever calls meanwhile waits for the same answers.
        """
        with self._asking:
            if self.may_wait and self._clock.monotonic() - self._asked_s >= INTERVAL_S:
                self._on_call.ask()
                with self._lock:
                    self._asked_s, self._view = self._clock.monotonic(), None
        return self.view()

    def view(self) -> View:
        """Read this worker's metrics, if that was not done just now, and return what all workers' last answers say."""
        with self._lock:
            now_s = self._clock.monotonic()
            if self._view is None or now_s - self._viewed_s >= _FRESH_S:
                others = (self._scraper or self._on_call).observed()
                self._view = view_of([*self._observe_own(now_s), *others], self._retry_topic)
                self._viewed_s = now_s
            return self._view

    def _observe_own(self, now_s: float) -> list[Observed]:
        if self._metrics is None:
            return []
        while self._own and now_s - self._own[0].at_s > STALE_S:
            self._own.popleft()
        self._own.append(Scrape(now_s, read_registry(self._metrics.registry)))
        return [Observed(self._address, self._own[0] if len(self._own) > 1 else None, self._own[-1])]
