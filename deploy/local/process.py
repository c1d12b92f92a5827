"""Start servers together and wait until they are healthy. No process survives the parent, however it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from cutstream.clock import Clock, SystemClock
from cutstream.errors import StackError
from cutstream.settings import bare_environment, own_environment
from deploy.local import guard
from deploy.local.logs import last_words

GUARD = Path(guard.__file__)
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
    all its descendants. `remains` returns what would be left of a running server if it were killed at once: files, and
    folders that are empty.
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
    remains: Callable[[], Iterable[Path]] = tuple


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

    def begin_kill(self) -> None:
        assert self._guard.stdin
        with suppress(BrokenPipeError):  # it has ended by itself
            self._guard.stdin.write(guard.KILL)
            self.begin_stop()

    def wait(self) -> None:
        self._guard.wait()


class Supervisor:
    """A context manager that runs servers. On exit it stops them, the last started first; with `kills`, all at once.

    Not thread-safe. `ready_s` maps each server to the seconds from its start until it was healthy.
    """

    def __init__(self, start_timeout_s: float, clock: Clock | None = None, *, kills: bool = False) -> None:
        self.start_timeout_s = start_timeout_s
        self._end = self.kill if kills else self.stop
        self._clock = clock or SystemClock()
        self._groups: list[list[RunningServer]] = [[]]  # the last one stops first
        self._started: dict[str, float] = {}  # those that were not healthy yet
        self.ready_s: dict[str, float] = {}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def start(self, *servers: ServerSpec) -> None:
        """Start the servers at once and return when all are healthy.

        Raises StackError with the end of the log of a server that fails.
        """
        self.launch(*servers)
        self.wait_until_healthy(*(server.name for server in servers))

    def launch(self, *servers: ServerSpec, stop_last: bool = False) -> None:
        """Start the servers and return at once; `wait_until_healthy` says how that ends.

        They stop before all that were started earlier. With `stop_last` others need them, and those stop before them.
        Raises StackError if a port is taken.
        """
        check_ports(servers)
        if not stop_last:
            self._groups.append([])
        group = self._groups[0 if stop_last else -1]
        for server in servers:
            group.append(RunningServer(server))
            self._started[server.name] = self._clock.monotonic()

    def wait_until_healthy(self, *names: str, unless: Callable[[], bool] = lambda: False) -> None:
        """Return when these servers, or all, are healthy, or `unless` is true. Raises StackError as `poll` does."""
        while any(not names or name in names for name in self.poll()) and not unless():
            self._clock.sleep(POLL_S)

    def poll(self) -> tuple[str, ...]:
        """Ask the servers that were not healthy yet. Return the names of those that still are not.

        Raises StackError with the end of the log of one that has ended, or takes too long.
        """
        for running in list(self._running()):
            name = running.server.name
            if name not in self._started:
                continue
            elapsed = self._clock.monotonic() - self._started[name]
            if running.exit_code is not None:
                raise server_error(running.server, f"ended with code {running.exit_code} before it was ready")
            if running.server.ready():
                self.ready_s[name] = elapsed
                del self._started[name]
            elif elapsed > self.start_timeout_s:
                raise server_error(
                    running.server,
                    f"was not ready after {self.start_timeout_s:g} s (CUTSTREAM_STACK__START_TIMEOUT_S)",
                )
        return tuple(self._started)

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
        """The servers that were healthy once and were not stopped, in order, whether they have died or not."""
        return tuple(running.server for running in self._running() if running.server.name not in self._started)

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
                self._started.pop(running.server.name, None)
        self._groups[1:] = [group for group in self._groups[1:] if group]

    def kill(self, *names: str) -> None:
        """Kill the named servers, or all, and remove what is left of them: nothing that they hold is needed."""
        killed = [running for running in self._running() if not names or running.server.name in names]
        remains = [path for running in killed for path in running.server.remains()]
        for running in killed:
            running.begin_kill()
        self.stop(*names)
        for path in remains:
            with suppress(OSError):  # it was removed, or has become somebody else's
                path.rmdir() if path.is_dir() else path.unlink()

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
