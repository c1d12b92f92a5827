"""Start servers together and wait until they are healthy. No process survives the parent, however it ends."""

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
from cutstream.settings import bare_environment, own_environment
from deploy.local.logs import last_words

GUARD = Path(__file__).with_name("guard.py")
POLL_S = 0.05
LOG_LINES = 30


@dataclass(frozen=True)
class ServerSpec:
    """A server to start, and how to tell that it is healthy.

    A server has no variables but its `environment` and those that a program needs in order to start, makes files that
    only its user can read, and has no rights of root. One that is `trusted` inherits everything instead.
    With `writes`, a server that is not trusted changes files in these places alone, and sees into no process that it
    has not started. With `descriptors`, each of its processes has no more files and connections open at once. With
    `file_bytes`, no file that it writes gets longer, its log included. `prepare` is called before each start.
    `ready` returns within about a second, False while the server is not up. `answers` does the same for a server that
    was ready once, where being ready depends on other servers, too. `halted` returns why a server that answers does
    nothing more until a person has looked, None while it works.
    `ports` maps each setting of a loopback port to the port, for instance {"CUTSTREAM_STACK__KAFKA_PORT": 19092}.
    To stop, SIGTERM goes to the command's process alone. After `stop_timeout_s`, or once it has ended, SIGKILL goes to
    all its descendants.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    ports: Mapping[str, int] = field(default_factory=dict)
    stop_timeout_s: float = 10.0
    cwd: Path | None = None
    answers: Callable[[], bool] | None = None
    halted: Callable[[], str | None] = lambda: None
    trusted: bool = False
    writes: Sequence[Path] | None = None
    descriptors: int | None = None
    file_bytes: int | None = None
    prepare: Callable[[], object] = lambda: None


class RunningServer:
    def __init__(self, server: ServerSpec) -> None:
        self.server = server
        server.prepare()
        server.log.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(server.log):  # keep the previous log, which may explain a restart
            server.log.replace(server.log.with_name(server.log.name + ".1"))
        with server.log.open("xb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=server.cwd,
                env=own_environment() if server.trusted else bare_environment(),
                start_new_session=True,  # Ctrl-C reaches only the parent, which stops everything in order
            )
        self._send_spec(server)

    def _send_spec(self, server: ServerSpec) -> None:
        spec = {
            "command": [str(part) for part in server.command],
            "environment": dict(server.environment),
            "trusted": server.trusted,
            "writes": None if server.writes is None else [str(place.absolute()) for place in server.writes],
            "descriptors": server.descriptors,
            "file_bytes": server.file_bytes,
            "stop_timeout_s": server.stop_timeout_s,
        }
        assert self._guard.stdin
        self._guard.stdin.write(json.dumps(spec).encode() + b"\n")
        self._guard.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id of the guard. The server is its child."""
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
    """A context manager that runs servers. On exit it stops them, the last started first.

    Not thread-safe. `ready_s` maps each server to the seconds until it was healthy.
    """

    def __init__(self, start_timeout_s: float, clock: Clock | None = None) -> None:
        self.start_timeout_s = start_timeout_s
        self._clock = clock or SystemClock()
        self._groups: list[list[RunningServer]] = []
        self.ready_s: dict[str, float] = {}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *servers: ServerSpec) -> None:
        """Start the servers at once and return when all are healthy.

        Raises StackError with the end of the log of a server that fails.
        """
        check_ports(servers)
        group: list[RunningServer] = []
        self._groups.append(group)
        started = self._clock.monotonic()
        for server in servers:
            group.append(RunningServer(server))
        self._wait_until_healthy(group, started)

    def _wait_until_healthy(self, group: list[RunningServer], started: float) -> None:
        waiting = list(group)
        while waiting:
            elapsed = self._clock.monotonic() - started
            for running in list(waiting):
                if running.exit_code is not None:
                    raise server_error(running.server, f"ended with code {running.exit_code} before it was ready")
                if running.server.ready():
                    self.ready_s[running.server.name] = elapsed
                    waiting.remove(running)
                elif elapsed > self.start_timeout_s:
                    raise server_error(
                        running.server,
                        f"was not ready after {self.start_timeout_s:g} s (CUTSTREAM_STACK__START_TIMEOUT_S)",
                    )
            if waiting:
                self._clock.sleep(POLL_S)

    def restart(self, name: str) -> None:
        """Start a server that has ended again, on the same ports, and return at once. It stops in its old place."""
        for group in self._groups:
            for place, running in enumerate(group):
                if running.server.name == name:
                    running.begin_stop()
                    running.wait()
                    group[place] = RunningServer(running.server)

    def pid(self, name: str) -> int:
        """Return the root of the server's process tree, for measurements. Use `stop` to end the server."""
        return self._find(name).pid

    def exit_code(self, name: str) -> int | None:
        """Return the server's exit status, with 128 and a signal's number added up. None while it runs."""
        return self._find(name).exit_code

    @property
    def servers(self) -> tuple[ServerSpec, ...]:
        """The servers that were started and not stopped, in this order, whether they have died or not."""
        return tuple(running.server for running in self._running())

    def dead(self) -> tuple[ServerSpec, ...]:
        """Return the servers that ended although nobody stopped them."""
        return tuple(running.server for running in self._running() if running.exit_code is not None)

    def check(self) -> None:
        """Raise StackError if a server has died."""
        for running in self._running():
            if running.exit_code is not None:
                raise server_error(running.server, f"ended with code {running.exit_code}")

    def stop(self, *names: str) -> None:
        """Stop the named servers, or all of them. Return when all their processes have ended."""
        for group in reversed(self._groups):
            selected = [running for running in group if not names or running.server.name in names]
            for running in selected:
                running.begin_stop()
            for running in selected:
                running.wait()
                group.remove(running)
        self._groups = [group for group in self._groups if group]

    def _find(self, name: str) -> RunningServer:
        return next(running for running in self._running() if running.server.name == name)

    def _running(self) -> Iterable[RunningServer]:
        return (running for group in self._groups for running in group)


def check_ports(servers: Iterable[ServerSpec]) -> None:
    taken: dict[int, str] = {}
    for server in servers:
        for setting, port in server.ports.items():
            if port in taken:
                raise StackError(f"{taken[port]} and {setting} are both {port}: choose different ports")
            taken[port] = setting
            if not is_free(port):
                raise StackError(f"port {port} of {server.name} is in use: free it, or set {setting} to another port")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore closing connections of the previous run
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def server_error(server: ServerSpec, problem: str) -> StackError:
    try:
        with server.log.open(errors="replace") as log:
            tail = [line.rstrip() for line in deque(log, maxlen=LOG_LINES)]
        # A server may say much after it has said what is wrong.
        tail = [*(word for word in last_words(server.log) if not any(word in line for line in tail)), *tail]
    except OSError as exc:
        tail = [f"the log cannot be read: {exc.strerror}"]
    lines = "".join(f"    {line}\n" for line in tail)
    return StackError(f"{server.name} {problem}. The end of {server.log}:\n{lines}".rstrip())
