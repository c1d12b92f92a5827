"""The gateway process: builds its parts from the settings, and runs them until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.clock import Clock, SystemClock
from cutstream.contract.messages import Result
from cutstream.errors import CutstreamError
from cutstream.metrics import GatewayMetrics
from cutstream.settings import Settings
from cutstream.web import Limits as ServerLimits
from cutstream.web import WebServer, allowed_hosts, guarded, listen
from producer.gateway.access import Access
from producer.gateway.app import build_app
from producer.gateway.bodies import Bodies, Memory
from producer.gateway.calls import Calls
from producer.gateway.keys import Keys
from producer.gateway.limits import Limits
from producer.gateway.load import Load
from producer.gateway.profiles import Profiles
from producer.gateway.proxies import behind_proxy
from producer.gateway.rembg import Rembg
from producer.gateway.removebg import RemoveBg
from producer.gateway.state import State
from producer.gateway.stream import Stream
from producer.gateway.uploads import Uploads
from producer.gateway.waiting import Waiting

log = logging.getLogger(__name__)

_SWEEP_S = 60.0
_CLOSE_S = 10  # calls under way get so long to end


class Gateway:
    """One gateway process. `run` returns after `stop`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        s, g = settings, settings.gateway
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = State(g.state)
        self._metrics = GatewayMetrics()
        self._load = Load(self._clock)
        self._waiting = Waiting()
        self._instance = f"gw{secrets.token_hex(4)}"
        self._stream = Stream(s.kafka, self._load, self._waiting.__contains__, self._on_results)
        self._uploaded = OwnObjects(uploads_place(settings), s.objects)
        self._outputs = OwnObjects(s.objects.destination, s.objects)
        limits = Limits(
            self._clock,
            requests_per_minute=g.requests_per_minute,
            max_calls_per_key=g.max_calls_per_key,
            max_calls=g.max_calls,
        )
        access = Access(Keys(g.keys, self._clock) if g.keys else None)
        uploads = Uploads(self._uploaded, self._state.spool, s.limits.max_source_bytes, self._metrics)
        bodies = Bodies(uploads, Memory(g.max_body_memory_bytes), g.max_body_bytes)
        profiles = Profiles(s.models.profiles, g.profile_of)
        calls = Calls(
            g,
            s.kafka,
            self._stream,
            self._waiting,
            self._load,
            limits,
            uploads,
            self._outputs,
            self._metrics,
            self._clock,
            self._instance,
        )
        improvements = OwnObjects(g.improvements, s.objects) if g.improvements else None
        removebg = RemoveBg(access, limits, bodies, uploads, calls, self._outputs, profiles, improvements)
        rembg = Rembg(access, bodies, uploads, calls, self._outputs, profiles)
        routes = [*removebg.routes(), *rembg.routes()]
        self._app = build_app(routes, self._metrics, self._alive, self._ready, g.metrics_token, g.allowed_origins)
        self._metrics.waiting.set_function(lambda: float(len(self._waiting)))
        self._metrics.expected_wait.set_function(self._load.wait_s)
        self._metrics.reading.set_function(lambda: float(self._stream.ready))

    def run(self) -> None:
        """Listen, connect, and serve until `stop`.

        Raises ConfigurationError if the port is taken, the folder in use, or a topic missing.
        """
        g = self._settings.gateway
        self._state.open()
        server: WebServer | None = None
        try:
            app = guarded(self._noting_loop, allowed_hosts(g.host, g.names), origins=g.allowed_origins)
            server = WebServer(
                behind_proxy(app, g.trusted_proxies, g.prefix),
                listen(g.host, g.port, "gateway"),
                "gateway",
                ServerLimits(connections=g.max_connections, body_s=g.body_timeout_s),
                close_s=_CLOSE_S,
                certificate=None if g.ssl_certfile is None else (g.ssl_certfile, g.ssl_keyfile),
            )
            address = server.start()
            self._stream.start()
            log.info("gateway started", extra={"address": address})
            while not self._stop.wait(_SWEEP_S):
                self._sweep()
        finally:
            if server is not None:
                server.close()
            self._stream.close()
            self._state.close()
        log.info("gateway stopped")

    def stop(self) -> None:
        """End soon. From any thread."""
        self._stop.set()

    async def _noting_loop(self, scope: Any, receive: Any, send: Any) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def _on_results(self, results: Sequence[Result], positions: Mapping[int, int]) -> None:
        if results and self._loop is not None:
            self._loop.call_soon_threadsafe(self._waiting.deliver, results)

    def _alive(self) -> Mapping[str, Any]:
        return {"serving": True}

    def _ready(self) -> Mapping[str, Any]:
        problem = self._stream.problem
        return {"stream": self._stream.ready, **({"problem": problem} if problem else {})}

    def _sweep(self) -> None:
        """Remove uploads that nobody needs any more, and outputs of calls that ended with an earlier process."""
        g = self._settings.gateway
        try:
            self._uploaded.sweep("", g.upload_age_s)
            self._outputs.sweep("gw", max(g.upload_age_s, g.result_age_s))
        except (CutstreamError, OSError) as exc:
            log.warning("what is old cannot be removed now: %s", exc)


def uploads_folder(settings: Settings) -> Path | None:
    """Return the folder for uploads, or None if they go to a bucket."""
    return OwnObjects(uploads_place(settings), settings.objects).folder


def uploads_place(settings: Settings) -> str:
    """Return where uploaded photos wait for the workers: a folder or an address."""
    gateway = settings.gateway
    return gateway.uploads or str(Path(gateway.state).absolute() / "uploads")
