"""The embedded servers: Kafka and Triton, started together with one state folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cutstream.clock import Clock, SystemClock
from cutstream.settings import Settings, addressed
from deploy.local.kafka import kafka_server
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.state import lock_state, private_folder, usable
from deploy.local.triton import triton_server


@dataclass(frozen=True)
class Stack:
    """The started servers. `settings` contain every address; `ready_s` is the time until everything was healthy."""

    settings: Settings
    supervisor: Supervisor
    ready_s: float


@contextmanager
def local_stack(
    settings: Settings, clock: Clock | None = None, prepare: Callable[[Settings], object] = lambda settings: None
) -> Iterator[Stack]:
    """Start Kafka and Triton, each unless the settings name an existing one. Stop them on exit.

    The model repository must have been rendered, at the latest by `prepare`, which is called once the state folder is
    locked: a stack that already runs there must not find its models changed. Servers that are passed to
    `supervisor.start` later, such as workers, stop first.
    """
    clock = clock or SystemClock()
    with lock_state(settings.stack.state), Supervisor(settings.stack.start_timeout_s, clock) as supervisor:
        with usable(settings.stack.state):
            private_folder(settings.stack.state / "logs")
            prepare(settings)
            started = clock.monotonic()
            supervisor.start(*embedded_servers(settings))
        yield Stack(addressed(settings), supervisor, clock.monotonic() - started)


def embedded_servers(settings: Settings) -> list[ServerSpec]:
    servers = []
    if not settings.kafka.bootstrap_servers:
        servers.append(kafka_server(settings.stack))
    if not settings.triton.url:
        servers.append(triton_server(settings))
    return servers
