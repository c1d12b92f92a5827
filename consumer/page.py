"""The live page of one worker, on a port of its own: browsers must not come near the probes of /healthz."""

from __future__ import annotations

from cutstream.clock import Clock
from cutstream.metrics import Metrics
from cutstream.settings import Settings
from cutstream.watching.page import LivePage, Sampling
from cutstream.watching.recent import Recent
from cutstream.web import Limits, WebServer, allowed_hosts, listen

_UNREAD_S = 10.0  # a window that reads nothing leaves its place to another


class PageServer:
    """Serves the page on a thread of its own. It shows this worker, and the others that the settings list."""

    def __init__(self, settings: Settings, metrics: Metrics, recent: Recent, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._recent = recent
        self._clock = clock
        self._server: WebServer | None = None

    def start(self, worker: str) -> str:
        """Start listening and return the page's address. `worker` is the `host:port` of this worker's metrics.

        Raises ConfigurationError if the port is taken.
        """
        page, token = self._settings.page, self._settings.worker.metrics_token
        retry_topic = self._settings.kafka.retry_topic
        sampling = Sampling(self._metrics, worker, self._clock, page.workers, token, retry_topic)
        live = LivePage(sampling, self._recent, page.token, page.gateway)
        # With a token a name that only resolves to loopback gains nothing.
        hosts = None if page.token else allowed_hosts(page.host, page.hosts)
        listening = listen(page.host, self._settings.page_port, "page")
        self._server = WebServer(live.app(hosts), listening, "page", Limits(stalled_s=_UNREAD_S), on_close=live.close)
        return f"{self._server.start()}/"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
