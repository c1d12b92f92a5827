"""The gateway process: builds its parts from the settings, and runs them until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.clock import Clock, SystemClock
from cutstream.contract.messages import Result
from cutstream.errors import CutstreamError
from cutstream.metrics import GatewayMetrics
from cutstream.settings import Settings
from cutstream.web import Limits as ServerLimits
from cutstream.web import WebServer, allowed_hosts, guarded, listen
from producer.gateway.access import Access
from producer.gateway.answers import can_read_ahead, read_ahead
from producer.gateway.app import PROBES, build_app
from producer.gateway.bodies import Bodies, Memory
from producer.gateway.calls import Calls
from producer.gateway.job_runner import JobRunner
from producer.gateway.job_store import JobStore
from producer.gateway.jobs import Jobs
from producer.gateway.keys import Keys
from producer.gateway.limits import Limits
from producer.gateway.load import Load
from producer.gateway.openapi import openapi
from producer.gateway.page import CONTENT_SECURITY, Page
from producer.gateway.profiles import Profiles
from producer.gateway.proxies import behind_proxy
from producer.gateway.rembg import Rembg
from producer.gateway.removebg import RemoveBg
from producer.gateway.state import State
from producer.gateway.stream import Stream
from producer.gateway.tidying import Tidier
from producer.gateway.uploads import Uploads
from producer.gateway.waiting import Arrived, Waiting
from producer.gateway.webhooks import Webhooks

log = logging.getLogger(__name__)

_SWEEP_S = 60.0
_THREADS = 32  # for stores and disks: a store that is slow holds some of them, and never the event loop
_STALLED_S = 30.0  # a follower of events that takes nothing for so long is gone
_LATE_S = 5.0  # for the answer that says that a body is late, before the connection is cut off
_CLOSE_S = 10  # calls under way get so long to end


class Gateway:
    """One gateway process. `run` returns after `stop`."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, make_stream: Callable[..., Stream] = Stream
    ) -> None:
        s, g = settings, settings.gateway
        self._settings = settings
        self._clock = clock or SystemClock()
        self._name = ""
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = GatewayMetrics()
        self._load = Load(self._clock)
        self._waiting = Waiting()
        self._pool = ThreadPoolExecutor(_THREADS, "gateway-blocking")
        self._state = State(g.state)
        self._store = JobStore(g.state / "jobs.sqlite")
        self._uploaded = OwnObjects(uploads_place(settings), s.objects)
        self._outputs = OwnObjects(s.objects.destination, s.objects)
        self._tidier = Tidier()
        self._uploads = Uploads(
            self._uploaded, self._state.spool, s.limits.max_source_bytes, self._metrics, self._tidier
        )
        self._stream = make_stream(s.kafka, self._load, self._is_known, self._on_results)
        self._runner = JobRunner(s.kafka, self._store, self._stream, self._uploads, self._outputs, self._clock)
        self._webhooks = Webhooks(g, self._store, self._metrics, self._clock)
        self._access = Access(Keys(g.keys, self._clock) if g.keys else None)
        self._limits = Limits(
            self._clock,
            requests_per_minute=g.requests_per_minute,
            max_calls_per_key=g.max_calls_per_key,
            max_calls=g.max_calls,
            max_followers=max(1, g.max_connections // 2),
        )
        self._metrics.waiting.set_function(lambda: float(self._limits.under_way))
        self._metrics.expected_wait.set_function(self._load.wait_s)
        self._metrics.reading.set_function(lambda: float(self._stream.ready))
        self._metrics.open_photos.set_function(lambda: float(self._runner.open_photos))

    def run(self) -> None:
        """Listen, connect, and serve until `stop`.

        Raises ConfigurationError if the port is taken, or the folder is in use or of another release.
        """
        with ExitStack() as started:
            self._state.open()
            started.callback(self._state.close)
            self._store.open()
            started.callback(self._store.close)
            self._name = self._store.name(f"gw{secrets.token_hex(4)}")
            self._runner.load()
            self._tidier.start()
            started.callback(self._tidier.close)
            started.callback(self._stream.close)
            server = self._server(self._app())
            started.callback(server.close)
            address = server.start()
            self._stream.start(self._store.positions())
            log.info(
                "gateway started",
                extra={"address": address, "gateway": self._name, "open_photos": self._runner.open_photos},
            )
            while not self._stop.wait(_SWEEP_S):
                self._sweep()
        log.info("gateway stopped")

    def stop(self) -> None:
        """End soon. From any thread."""
        self._stop.set()

    # -- how it is built

    def _app(self) -> ASGIApp:
        s, g = self._settings, self._settings.gateway
        bodies = Bodies(self._uploads, Memory(g.max_body_memory_bytes), g.max_body_bytes, g.body_timeout_s)
        profiles = Profiles(s.models.profiles, g.profile_of)
        improvements = OwnObjects(g.improvements, s.objects) if g.improvements else None
        calls = Calls(
            g,
            s.kafka,
            self._stream,
            self._waiting,
            self._load,
            self._limits,
            self._uploads,
            self._outputs,
            self._tidier,
            self._pool,
            self._clock,
            self._name,
        )
        removebg = RemoveBg(
            self._access, self._limits, bodies, self._uploads, calls, self._outputs, profiles, improvements
        )
        rembg = Rembg(self._access, bodies, self._uploads, calls, self._outputs, profiles)
        jobs = Jobs(
            g,
            self._access,
            self._limits,
            bodies,
            self._uploads,
            self._outputs,
            self._store,
            self._runner,
            self._stream,
            self._webhooks,
            self._clock,
            self._name,
        )
        page = Page(s, self._access, self._load, lambda: "" if self._stream.ready else self._stream.problem)
        routes = [*removebg.routes(), *rembg.routes(), *jobs.routes(), *page.routes()]  # in the order of their use
        document = openapi(g.prefix, with_keys=g.keys is not None)
        return build_app(routes, self._metrics, self._alive, self._ready, g.metrics_token, g.allowed_origins, document)

    def _server(self, app: ASGIApp) -> WebServer:
        g = self._settings.gateway
        hosts = allowed_hosts(g.host, g.hosts)
        guarded_app = guarded(app, hosts, CONTENT_SECURITY, g.allowed_origins, PROBES)
        return WebServer(
            behind_proxy(guarded_app, g.trusted_proxies, g.prefix),
            listen(g.host, g.port, "gateway"),
            "gateway",
            ServerLimits(
                connections=g.max_connections,
                body_s=g.body_timeout_s + _LATE_S,
                idle_s=g.keep_alive_s,
                stalled_s=_STALLED_S,
            ),
            on_start=self._on_start,
            on_close=self._on_close,
            close_s=_CLOSE_S,
            certificate=None if g.ssl_certfile is None else (g.ssl_certfile, g.ssl_keyfile),
        )

    # -- on the server's loop

    def _on_start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(self._pool)
        for work in (self._runner.run(), self._webhooks.run(self._runner.webhooks_due)):
            task = self._loop.create_task(work)
            task.add_done_callback(self._end_with)
            self._tasks.append(task)

    def _on_close(self) -> None:
        self._runner.close()
        for task in self._tasks:
            task.cancel()

    def _end_with(self, task: asyncio.Task[None]) -> None:
        """End the gateway if work in the background has failed: jobs would wait without anybody noticing."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the gateway cannot run jobs", exc_info=error)
            self.stop()

    # -- on the stream's threads

    def _is_known(self, id: str) -> bool:
        return id in self._waiting or self._runner.knows(id)

    def _on_results(self, results: Sequence[Result], positions: Mapping[int, int]) -> None:
        with suppress(RuntimeError):  # the loop and its threads have ended
            for result in results:
                if result.id not in self._waiting:
                    continue
                if can_read_ahead(result) and not self._waiting.is_abandoned(result.id):
                    self._pool.submit(self._read_ahead, result)
                else:
                    self._deliver(Arrived(result, None))
        self._runner.on_results(results, positions)

    def _read_ahead(self, result: Result) -> None:
        """Wake a call once its picture is at hand, instead of once for its result and once for the picture."""
        self._deliver(Arrived(result, read_ahead(self._outputs, result)))

    def _deliver(self, arrived: Arrived) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and no call waits any more
                self._loop.call_soon_threadsafe(self._waiting.deliver, arrived)

    # -- what it says of itself, and what it tidies up

    def _alive(self) -> Mapping[str, Any]:
        return {"serving": True}

    def _ready(self) -> Mapping[str, Any]:
        problem = self._stream.problem
        return {"gateway": self._name, "stream": self._stream.ready, **({"problem": problem} if problem else {})}

    def _sweep(self) -> None:
        """Remove uploads that nobody needs, outputs of calls that ended with an earlier process, and old jobs."""
        g = self._settings.gateway
        try:
            self._uploaded.sweep("", g.upload_age_s, keep=self._store.open_uploads())
            self._outputs.sweep(f"{self._name}-c-", g.upload_age_s)
            self._runner.clean_up(g.result_age_s)
        except (CutstreamError, OSError) as exc:
            log.warning("what is old cannot be removed now: %s", exc)


def uploads_folder(settings: Settings) -> Path | None:
    """Return the folder for uploads, or None if they go to a bucket."""
    return OwnObjects(uploads_place(settings), settings.objects).folder


def uploads_place(settings: Settings) -> str:
    """Return where uploaded photos wait for the workers: a folder or an address."""
    gateway = settings.gateway
    return gateway.uploads or str(Path(gateway.state).absolute() / "uploads")
