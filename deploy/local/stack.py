"""The embedded servers: Kafka and Triton, started together with one state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cutstream.clock import Clock, SystemClock
from cutstream.errors import StackError
from cutstream.settings import Settings, addressed
from deploy.local.kafka import kafka_server
from deploy.local.process import ServerSpec, Supervisor
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


@contextmanager
def lock_state(state: Path) -> Iterator[None]:
    """Create the folder and lock it against other stacks until the block ends or this process dies."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StackError(
            f"CUTSTREAM_STACK__STATE={state} cannot be made a folder ({exc.strerror}): name another one"
        ) from exc
    with (state / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise StackError(
                f"a stack already runs on {state} (process {lock.read() or 'unknown'}): stop it, or set "
                "CUTSTREAM_STACK__STATE to another folder and CUTSTREAM_STACK__*_PORT to other ports"
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
