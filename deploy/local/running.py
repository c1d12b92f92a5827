"""The local stack with a worker and a gateway, for `cutstream up`, `cutstream demo` and measurements."""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from cutstream.clock import SystemClock
from cutstream.errors import ConfigurationError, StackError
from cutstream.settings import Settings, addressed, as_environment, host_and_port, variable
from cutstream.signals import on_termination
from deploy.local.allowed import noted
from deploy.local.identity import ensure_identity
from deploy.local.inbox import with_inbox
from deploy.local.ports import check_stack_ports
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.restarts import Restarter
from deploy.local.stack import launch_servers, supervisor_of
from deploy.local.state import usable

log = logging.getLogger(__name__)

_CHECK_S = 0.5
# With fewer, Triton starts once the worker has loaded its code, and takes its place on the second core. It is needed
# last: while the worker joins its group, it loads its models. The first core is Kafka's, for which everything waits.
_CORES_FOR_ALL = 4


@dataclass(frozen=True)
class RunningStack:
    """A running stack. `ready_s` is the time from the start until everything was healthy.

    That of `launched_stack` may still be starting: then it is the time until the topics were there.
    """

    settings: Settings
    supervisor: Supervisor
    ready_s: float
    restarter: Restarter

    def check(self) -> None:
        """Start a server or a worker that has died again. Raises StackError if that does not help, or the worker halts.

        Call it about twice a second. It says what it does on the stack's `report`. A server that has never been healthy
        is not started again: that it has died, or takes too long, is a StackError at once.
        """
        self.supervisor.poll()
        self.restarter.check()
        if self.restarter.halted:
            raise StackError("the worker has halted")

    def end(self) -> None:
        """Stop at once, without the order in which servers put away what the next start needs: there is no next start.

        For a state folder that is thrown away, when all results are there.
        """
        if self.settings.worker.traces_url:
            self.supervisor.stop("worker")  # it sends its last spans
        self.supervisor.kill()


@contextmanager
def running_stack(
    settings: Settings,
    worker_command: Sequence[str],
    report: Callable[[str], None] = log.warning,
    prepare: Callable[[Settings], object] = lambda settings: None,
    gateway_command: Sequence[str] = (),
) -> Iterator[RunningStack]:
    """Start a stack as `launched_stack` does, and wait until all of it is healthy."""
    clock = SystemClock()
    started = clock.monotonic()
    with launched_stack(settings, worker_command, report, prepare, gateway_command) as stack:
        stack.supervisor.wait_until_healthy()
        yield replace(stack, ready_s=clock.monotonic() - started)


@contextmanager
def launched_stack(
    settings: Settings,
    worker_command: Sequence[str],
    report: Callable[[str], None] = log.warning,
    prepare: Callable[[Settings], object] = lambda settings: None,
    gateway_command: Sequence[str] = (),
    *,
    kills: bool = False,
) -> Iterator[RunningStack]:
    """Start Kafka, Triton and a worker together, and yield when requests can be written: the topics are there.

    Kafka and Triton are not started if the settings name existing ones. `worker_command` is the command line of the
    worker, and `gateway_command` that of an HTTP gateway, if it is given. The caller passes them, because this package
    knows no other service. Everything stops in reverse order; with `kills`, at once, for a state folder that is thrown
    away. `report` receives what happens to the servers afterwards, in sentences for people. `prepare` is that of
    `local_stack`. Raises ConfigurationError, before anything starts, if a stack cannot have such a worker.
    """
    _require_port("worker", settings.worker.port)  # first of all
    if gateway_command:
        _require_port("gateway", settings.gateway.port)

    clock = SystemClock()
    started = clock.monotonic()
    linking = linked if gateway_command else lambda settings: settings
    with supervisor_of(settings, clock, kills=kills) as supervisor:
        check_stack_ports(settings, bool(gateway_command))
        ensure_identity(settings.stack)
        complete = addressed(settings)
        with usable(settings.stack.state):
            served = with_inbox(complete)

        def prepare_all(settings: Settings) -> None:
            worker = worker_server(linking(served), worker_command)
            supervisor.launch(worker)
            prepare(settings)
            if not settings.kafka.bootstrap_servers and len(os.sched_getaffinity(0)) < _CORES_FOR_ALL:
                supervisor.wait_until_healthy("kafka", unless=worker.answers or (lambda: False))

        launch_servers(settings, supervisor, report, prepare_all)
        from cutstream.clients.kafka import ensure_topics  # it takes long to import, but the broker takes longer

        if not settings.kafka.bootstrap_servers:
            supervisor.wait_until_healthy("kafka")
        ensure_topics(complete.kafka)
        if gateway_command:
            supervisor.launch(gateway_server(linking(complete), gateway_command))
        with noted(served.objects, settings.stack):
            restarter = Restarter(supervisor, report)
            yield RunningStack(complete, supervisor, clock.monotonic() - started, restarter)


def wait_until_stopped(stack: RunningStack) -> None:
    """Keep the servers and the worker running. Return on SIGTERM or Ctrl-C.

    The servers stay when the worker halts. Raises StackError if one of them cannot be kept running.
    """
    stop = threading.Event()
    on_termination(stop.set)
    while not stop.wait(_CHECK_S):
        stack.restarter.check()


def linked(settings: Settings) -> Settings:
    """Return the settings with a link from the page of each service to that of the other, unless they name one."""
    page, gateway = settings.page, settings.gateway
    scheme = "http" if gateway.ssl_certfile is None else "https"
    front = f"{scheme}://{host_and_port(gateway.host, gateway.port)}{gateway.prefix}/"
    live = f"http://{host_and_port(page.host, settings.page_port)}/" if page.enabled and settings.page_port else ""
    return settings.model_copy(
        update={
            "page": page.model_copy(update={"gateway": page.gateway or front}),
            "gateway": gateway.model_copy(update={"live_page": gateway.live_page or live}),
        }
    )


def worker_server(settings: Settings, command: Sequence[str], name: str = "worker") -> ServerSpec:
    """Describe a worker process. It is ready when it has joined its group and Triton answers it.

    It may be started before its servers, and waits for them as long as these may take to start.

    `settings` must be complete, with every address. `command` is the worker's command line. Raises ConfigurationError
    if its health cannot be asked for.
    """
    worker = settings.worker
    _require_port("worker", worker.port)
    ask = partial(_ask, partial(http.client.HTTPConnection, worker.host, worker.port, timeout=1.0), {})

    def halted() -> str | None:
        status, body = ask("/readyz")
        reason = json.loads(body).get("halted") if status == http.HTTPStatus.SERVICE_UNAVAILABLE else None
        return f"{reason['code']}: {reason['message']}" if reason else None

    return ServerSpec(
        name=name,
        command=list(command),
        environment=_environment(_with_start_period(settings)),
        log=settings.stack.state / "logs" / f"{name}.log",
        ready=lambda: ask("/readyz")[0] == 200 or halted() is not None,
        answers=lambda: ask("/healthz")[0] == 200,  # it is not ready while Triton is away, no fault of its own
        halted=halted,
        ports={
            "CUTSTREAM_WORKER__PORT": worker.port,
            **({"CUTSTREAM_PAGE__PORT": settings.page_port} if settings.page.enabled and settings.page_port else {}),
        },
        stop_timeout_s=worker.drain_timeout_s + 15,
        trusted=True,
    )


def gateway_server(settings: Settings, command: Sequence[str]) -> ServerSpec:
    """Describe a gateway process. It is ready when it reads results.

    `settings` must be complete, with every address. `command` is the gateway's command line. Raises ConfigurationError
    if its health cannot be asked for.
    """
    gateway = settings.gateway
    _require_port("gateway", gateway.port)
    connect: Callable[[], http.client.HTTPConnection]
    if gateway.ssl_certfile is None:
        connect = partial(http.client.HTTPConnection, gateway.host, gateway.port, timeout=1.0)
    else:  # its certificate names no loopback address
        context = ssl._create_unverified_context()
        connect = partial(http.client.HTTPSConnection, gateway.host, gateway.port, timeout=1.0, context=context)
    ask = partial(_ask, connect, {"Host": gateway.hosts[0]} if gateway.hosts else {})
    return ServerSpec(
        name="gateway",
        command=list(command),
        environment=_environment(settings),
        log=settings.stack.state / "logs" / "gateway.log",
        ready=lambda: ask("/readyz")[0] == 200,
        answers=lambda: ask("/healthz")[0] == 200,  # it is not ready while Kafka is away, no fault of its own
        ports={"CUTSTREAM_GATEWAY__PORT": gateway.port},
        trusted=True,
    )


def _with_start_period(settings: Settings) -> Settings:
    period = {"start_period_s": settings.stack.start_timeout_s}
    return settings.model_copy(update={"worker": settings.worker.model_copy(update=period)})


def _ask(connect: Callable[[], http.client.HTTPConnection], headers: Mapping[str, str], path: str) -> tuple[int, bytes]:
    connection = connect()
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):  # it may die while it answers
        return 0, b""
    finally:
        connection.close()


def _environment(settings: Settings) -> dict[str, str]:
    """Return a server's settings. It inherits this process's variables, of which one must not move its ports again."""
    return {**as_environment(settings), variable("stack", "port_offset"): "0"}


def _require_port(name: str, port: int) -> None:
    if port == 0:
        raise ConfigurationError(
            f"CUTSTREAM_{name.upper()}__PORT=0 (any free port) is for a {name} on its own: the local stack asks its "
            f"{name} for its health, so give it a port (docs/settings.md#{name}-port)"
        )
