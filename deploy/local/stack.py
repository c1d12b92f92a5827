"""The embedded servers: Kafka and Triton, started together with one state folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cutstream.clock import Clock
from cutstream.settings import Settings, addressed
from deploy.local.head_start import ensure_head_start
from deploy.local.kafka import kafka_server
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.state import lock_state, private_folder, usable
from deploy.local.triton import triton_server

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stack:
    """The started servers. `settings` contain every address."""

    settings: Settings
    supervisor: Supervisor


@contextmanager
def local_stack(
    settings: Settings,
    clock: Clock | None = None,
    prepare: Callable[[Settings], object] = lambda settings: None,
    report: Callable[[str], None] = log.warning,
) -> Iterator[Stack]:
    """Start Kafka and Triton, each unless the settings name an existing one. Stop them on exit.

    The model repository must have been rendered, at the latest by `prepare`, which is called once the state folder is
    locked: a stack that already runs there must not find its models changed. Servers that are passed to
    `supervisor.start` later, such as workers, stop first. `report` is told of what makes this start take longer.
    """
    with supervisor_of(settings, clock) as supervisor:
        launch_servers(settings, supervisor, report, prepare)
        supervisor.wait_until_healthy()
        yield Stack(addressed(settings), supervisor)


@contextmanager
def supervisor_of(settings: Settings, clock: Clock | None = None, *, kills: bool = False) -> Iterator[Supervisor]:
    """Lock the state folder, and yield what runs servers there. On exit they stop in order; with `kills`, at once."""
    stack = settings.stack
    with lock_state(stack.state), Supervisor(stack.start_timeout_s, clock, kills=kills) as supervisor:
        with usable(stack.state):
            private_folder(stack.state / "logs")
        yield supervisor


def launch_servers(
    settings: Settings,
    supervisor: Supervisor,
    report: Callable[[str], None],
    prepare: Callable[[Settings], object],
) -> None:
    """Start the embedded servers, and do not wait until they are healthy. `prepare` is called while Kafka starts."""
    with usable(settings.stack.state):
        if not settings.kafka.bootstrap_servers:
            ensure_head_start(settings.stack, report)
        for server in embedded_servers(settings, prepare):
            supervisor.launch(server, stop_last=True)


def embedded_servers(
    settings: Settings, prepare: Callable[[Settings], object] = lambda settings: None
) -> Iterator[ServerSpec]:
    """Yield the servers, each when it can be started: Triton once `prepare` has rendered its models."""
    if not settings.kafka.bootstrap_servers:
        yield kafka_server(settings.stack)
    prepare(settings)
    if not settings.triton.url:
        yield triton_server(settings)
