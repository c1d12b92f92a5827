"""The embedded servers that the settings leave to us, started together on one state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cutstream.clock import Clock, SystemClock
from cutstream.errors import StackError
from cutstream.settings import Settings, addressed
from deploy.local.kafka import kafka_server
from deploy.local.process import Server, Supervisor
from deploy.local.triton import triton_server


@dataclass(frozen=True)
class Stack:
    """`settings` are the effective ones, with every address filled in; `ready_s` is the time from nothing to health."""

    settings: Settings
    supervisor: Supervisor
    ready_s: float


@contextmanager
def local_stack(settings: Settings, clock: Clock | None = None) -> Iterator[Stack]:
    """Kafka and Triton, each unless the settings name an existing one; what Triton serves was rendered before.

    Servers that are given to `supervisor.start` later, such as workers, are stopped before these.
    """
    clock = clock or SystemClock()
    with sole_use(settings.stack.state), Supervisor(settings.stack.start_timeout_s, clock) as supervisor:
        began = clock.monotonic()
        supervisor.start(*embedded_servers(settings))
        yield Stack(addressed(settings), supervisor, clock.monotonic() - began)


def embedded_servers(settings: Settings) -> list[Server]:
    servers = []
    if not settings.kafka.bootstrap_servers:
        servers.append(kafka_server(settings.stack))
    if not settings.triton.url:
        servers.append(triton_server(settings))
    return servers


@contextmanager
def sole_use(state: Path) -> Iterator[None]:
    """Makes the folder, and refuses it to every other stack until this one is done or its process is gone."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise StackError(
                f"a stack already runs on {state} (process {lock.read() or 'unknown'}): stop it, or set "
                "CUTSTREAM_STACK__STATE to a folder, and CUTSTREAM_STACK__*_PORT to ports, of this stack's own"
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
