"""Starts servers together, waits for their health, and leaves no process behind, however the parent ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from cutstream.clock import Clock, SystemClock
from cutstream.errors import StackError

GUARD = Path(__file__).with_name("guard.py")
POLL_S = 0.05
LOG_LINES = 30


@dataclass(frozen=True)
class Server:
    """What to run.

    `environment` is added to the inherited one. `ready` answers within about a second, False while the server
    is not up. `ports` maps the variable that sets a loopback port to that port, for instance
    {"CUTSTREAM_STACK__KAFKA_PORT": 19092}. SIGTERM goes to the command's process alone; after
    `stop_timeout_s`, or once it has ended, SIGKILL goes to every process that descends from it.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    ports: Mapping[str, int] = field(default_factory=dict)
    stop_timeout_s: float = 10.0
    cwd: Path | None = None


class Running:
    def __init__(self, server: Server) -> None:
        self.server = server
        server.log.parent.mkdir(parents=True, exist_ok=True)
        if server.log.exists():  # the log of the run before may tell why there is a new one
            server.log.replace(server.log.with_name(server.log.name + ".1"))
        with server.log.open("wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=server.cwd,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops in order
            )
        self._order(server)

    def _order(self, server: Server) -> None:
        order = {
            "command": [str(part) for part in server.command],
            "environment": dict(server.environment),
            "stop_timeout_s": server.stop_timeout_s,
        }
        assert self._guard.stdin
        self._guard.stdin.write(json.dumps(order).encode() + b"\n")
        self._guard.stdin.flush()

    @property
    def pid(self) -> int:
        """The guard's; the server is its child."""
        return self._guard.pid

    @property
    def exit_code(self) -> int | None:
        return self._guard.poll()

    def begin_stop(self) -> None:
        assert self._guard.stdin
        self._guard.stdin.close()

    def wait(self) -> None:
        self._guard.wait()


class Supervisor:
    """Use as a context manager; leaving it stops everything, the servers started last first.

    One thread uses it. `ready_s` says how long each server took to become healthy.
    """

    def __init__(self, start_timeout_s: float, clock: Clock | None = None) -> None:
        self._start_timeout_s = start_timeout_s
        self._clock = clock or SystemClock()
        self._groups: list[list[Running]] = []
        self.ready_s: dict[str, float] = {}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *servers: Server) -> None:
        """Starts them at once, returns when all are healthy; StackError has the log of the one that fails."""
        check_ports(servers)
        group: list[Running] = []
        self._groups.append(group)
        began = self._clock.monotonic()
        for server in servers:
            group.append(Running(server))
        self._await_health(group, began)

    def _await_health(self, group: list[Running], began: float) -> None:
        waiting = list(group)
        while waiting:
            elapsed = self._clock.monotonic() - began
            for running in list(waiting):
                if running.exit_code is not None:
                    raise failure(running.server, f"ended with code {running.exit_code} before it was ready")
                if running.server.ready():
                    self.ready_s[running.server.name] = elapsed
                    waiting.remove(running)
                elif elapsed > self._start_timeout_s:
                    raise failure(
                        running.server,
                        f"was not ready after {self._start_timeout_s:g} s (CUTSTREAM_STACK__START_TIMEOUT_S)",
                    )
            if waiting:
                self._clock.sleep(POLL_S)

    def pid(self, name: str) -> int:
        """The root of the server's process tree, for measurements; signals go through `stop`."""
        return next(running.pid for running in self._running() if running.server.name == name)

    def dead(self) -> tuple[Server, ...]:
        """Servers that ended without being told to."""
        return tuple(running.server for running in self._running() if running.exit_code is not None)

    def check(self) -> None:
        """Raises StackError when a server has died."""
        for running in self._running():
            if running.exit_code is not None:
                raise failure(running.server, f"ended with code {running.exit_code}")

    def stop(self, *names: str) -> None:
        """Stops the named servers, or all; returns when every process of theirs has ended."""
        for group in reversed(self._groups):
            chosen = [running for running in group if not names or running.server.name in names]
            for running in chosen:
                running.begin_stop()
            for running in chosen:
                running.wait()
                group.remove(running)
        self._groups = [group for group in self._groups if group]

    def _running(self) -> Iterable[Running]:
        return (running for group in self._groups for running in group)


def check_ports(servers: Iterable[Server]) -> None:
    taken: dict[int, str] = {}
    for server in servers:
        for setting, port in server.ports.items():
            if port in taken:
                raise StackError(f"{taken[port]} and {setting} both say {port}: give each a port of its own")
            taken[port] = setting
            if not is_free(port):
                raise StackError(f"port {port} of {server.name} is taken: free it or set {setting} to another")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def failure(server: Server, what: str) -> StackError:
    try:
        with server.log.open(errors="replace") as log:
            tail = "".join(f"    {line.rstrip()}\n" for line in deque(log, maxlen=LOG_LINES))
    except OSError as exc:
        tail = f"    it cannot be read: {exc.strerror}"
    return StackError(f"{server.name} {what}. The end of {server.log}:\n{tail}".rstrip())
