"""The local stack with its worker: what `cutstream up` and `make demo` run."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cutstream.clients.kafka import ensure_topics
from cutstream.clock import SystemClock
from cutstream.settings import Settings, as_environment
from cutstream.signals import on_termination
from deploy.local.process import Server, Supervisor
from deploy.local.stack import local_stack

_CHECK_S = 0.5


@dataclass(frozen=True)
class RunningStack:
    settings: Settings
    supervisor: Supervisor
    ready_s: float

    def check(self) -> None:
        """Raises StackError, with the end of its log, when a server or the worker has died."""
        self.supervisor.check()


@contextmanager
def throwaway(settings: Settings) -> Iterator[Settings]:
    """The same settings on a state folder of this run's own, removed afterwards.

    What an interrupted run has left in the topics is then never worked on by the next.
    """
    parent = settings.stack.state.absolute()
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="run-", dir=parent) as folder:
        stack = settings.stack.model_copy(update={"state": Path(folder)})
        yield settings.model_copy(update={"stack": stack})


@contextmanager
def running_stack(settings: Settings, worker: Sequence[str]) -> Iterator[RunningStack]:
    """Kafka and Triton where they are ours to start, the topics, and one worker; stopped in the opposite order.

    What Triton is to serve has been rendered before.
    """
    clock = SystemClock()
    began = clock.monotonic()
    with local_stack(settings) as stack:
        ensure_topics(stack.settings.kafka)
        stack.supervisor.start(worker_server(stack.settings, worker))
        yield RunningStack(stack.settings, stack.supervisor, clock.monotonic() - began)


def wait_until_stopped(stack: RunningStack) -> None:
    """Returns on SIGTERM or Ctrl-C; raises StackError when something dies."""
    stop = threading.Event()
    on_termination(stop.set)
    while not stop.wait(_CHECK_S):
        stack.check()


def worker_server(settings: Settings, command: Sequence[str], name: str = "worker") -> Server:
    """A worker process on effective settings; ready when it has joined the group and Triton answers it."""
    worker = settings.worker

    def ready() -> bool:
        connection = http.client.HTTPConnection(worker.host, worker.port, timeout=1.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    return Server(
        name=name,
        command=list(command),
        environment=as_environment(settings),
        log=settings.stack.state / "logs" / f"{name}.log",
        ready=ready,
        ports={"CUTSTREAM_WORKER__PORT": worker.port},
        stop_timeout_s=worker.drain_timeout_s + 15,
    )
