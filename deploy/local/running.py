"""The local stack with a worker, for `cutstream up`, `cutstream demo` and measurements."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cutstream.clients.kafka import ensure_topics
from cutstream.clock import SystemClock
from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import Settings, WorkerSettings, as_environment
from cutstream.signals import on_termination
from deploy.local.allowed import noted
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.restarts import Restarter
from deploy.local.stack import local_stack

log = logging.getLogger(__name__)

_CHECK_S = 0.5


@dataclass(frozen=True)
class RunningStack:
    """A running stack. `ready_s` is the time from the start until everything was healthy."""

    settings: Settings
    supervisor: Supervisor
    ready_s: float
    restarter: Restarter

    def check(self) -> None:
        """Start a server or a worker that has died again. Raises StackError if that does not help, or the worker halts.

        Call it about twice a second. It says what it does on the stack's `report`.
        """
        self.restarter.check()
        if self.restarter.halted:
            raise StackError("the worker has halted")


@contextmanager
def running_stack(
    settings: Settings,
    worker_command: Sequence[str],
    report: Callable[[str], None] = log.warning,
    prepare: Callable[[Settings], object] = lambda settings: None,
) -> Iterator[RunningStack]:
    """Start Kafka and Triton unless the settings name existing ones, create the topics, and start one worker.

    `worker_command` is the command line of the worker. The caller passes it, because this package knows no other
    service. Everything stops in reverse order. `report` receives what happens to the servers afterwards, in sentences
    for people. `prepare` is that of `local_stack`. Raises ConfigurationError, before anything starts, if a stack cannot
    have such a worker.
    """
    _require_port(settings.worker)  # first of all
    clock = SystemClock()
    started = clock.monotonic()
    with local_stack(settings, clock, prepare) as stack:
        ensure_topics(stack.settings.kafka)
        stack.supervisor.start(worker_server(stack.settings, worker_command))
        ready_s = clock.monotonic() - started
        with noted(settings.objects, settings.stack):
            yield RunningStack(stack.settings, stack.supervisor, ready_s, Restarter(stack.supervisor, report))


def wait_until_stopped(stack: RunningStack) -> None:
    """Keep the servers and the worker running. Return on SIGTERM or Ctrl-C.

    The servers stay when the worker halts. Raises StackError if one of them cannot be kept running.
    """
    stop = threading.Event()
    on_termination(stop.set)
    while not stop.wait(_CHECK_S):
        stack.restarter.check()


def worker_server(settings: Settings, command: Sequence[str], name: str = "worker") -> ServerSpec:
    """Describe a worker process. It is ready when it has joined its group and Triton answers it.

    `settings` must be complete, with every address. `command` is the worker's command line. Raises ConfigurationError
    if its health cannot be asked for.
    """
    worker = settings.worker
    _require_port(worker)

    def ask(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(worker.host, worker.port, timeout=1.0)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):  # it may die while it answers
            return 0, b""
        finally:
            connection.close()

    def halted() -> str | None:
        status, body = ask("/readyz")
        reason = json.loads(body).get("halted") if status == http.HTTPStatus.SERVICE_UNAVAILABLE else None
        return f"{reason['code']}: {reason['message']}" if reason else None

    return ServerSpec(
        name=name,
        command=list(command),
        environment=as_environment(settings),
        log=settings.stack.state / "logs" / f"{name}.log",
        ready=lambda: ask("/readyz")[0] == 200 or halted() is not None,
        answers=lambda: ask("/healthz")[0] == 200,  # it is not ready while Triton is away, no fault of its own
        halted=halted,
        ports={"CUTSTREAM_WORKER__PORT": worker.port},
        stop_timeout_s=worker.drain_timeout_s + 15,
        trusted=True,
    )


def _require_port(worker: WorkerSettings) -> None:
    if worker.port == 0:
        raise ConfigurationError(
            "CUTSTREAM_WORKER__PORT=0 (any free port) is for workers on their own: the local stack asks its worker for "
            "its health, so give it a port (docs/settings.md#worker-port)"
        )
