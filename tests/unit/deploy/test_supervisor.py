"""The supervisor's promises, with small shells in place of servers."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cutstream.clock import ManualClock
from cutstream.errors import StackError
from deploy.local import guard
from deploy.local.process import ServerSpec, Supervisor, check_ports

ROOT = Path(__file__).parents[3]
# A tree like Triton's, and worse: a child, a child in its own session, and an orphan.
TREE = "sleep 97 & setsid sleep 98 & (setsid sleep 99 &) ; echo up; wait"
PARENT = """
import os, signal, sys, time
from pathlib import Path
from deploy.local.process import ServerSpec, Supervisor

def ready():
    return log.exists() and "up" in log.read_text()

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background inherit that it is ignored
log = Path(sys.argv[1])
with Supervisor(10) as supervisor:
    supervisor.start(ServerSpec("tree", ["bash", "-c", sys.argv[2]], {}, log, ready))
    if sys.argv[3] == "fork" and os.fork() == 0:
        time.sleep(60)
    print(supervisor.pid("tree"), flush=True)
    for _ in range(600):
        time.sleep(0.1)  # a signal just before a sleep waits for its end
    sys.exit("nobody stopped this parent")
"""


def shell(folder: Path, script: str, name: str = "shell", **options: object) -> ServerSpec:
    log = folder / f"{name}.log"
    options.setdefault("ready", lambda: "up" in log.read_text())
    return ServerSpec(name, ["bash", "-c", script], {}, log, **options)  # type: ignore[arg-type]


def has_landlock() -> bool:
    return guard.libc.syscall(guard.CREATE_RULESET, None, ctypes.c_size_t(0), guard.WITH_VERSION) >= 1


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def start_parent(folder: Path, script: str, mode: str = "plain") -> tuple[subprocess.Popen[str], psutil.Process]:
    command = [sys.executable, "-c", PARENT, str(folder / "tree.log"), script, mode]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout
    return parent, psutil.Process(int(parent.stdout.readline()))


def end(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout
    parent.stdout.close()
    parent.wait()


def test_start_waits_for_health_and_stop_ends_the_whole_tree(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, TREE))
        tree = descendants(supervisor.pid("shell"))
        assert len(tree) == 4
        assert supervisor.ready_s["shell"] < 10
        supervisor.check()
    assert all_gone(tree)


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_a_killed_parent_leaves_no_orphan(tmp_path: Path, mode: str) -> None:
    """`fork`: a child of the parent outlives it and holds its end of the pipe open."""
    parent, guard = start_parent(tmp_path, TREE, mode)
    tree = [guard, *descendants(guard.pid)]
    helpers = [child for child in descendants(parent.pid) if child not in tree]
    assert len(tree) == 5
    parent.kill()
    gone = wait_until(lambda: all_gone(tree))
    for helper in helpers:
        helper.kill()
    end(parent)
    assert gone


def test_a_killed_parent_still_gives_its_servers_the_order_to_stop(tmp_path: Path) -> None:
    parent, guard = start_parent(tmp_path, "trap 'echo in order; exit' TERM; echo up; while :; do sleep 0.02; done")
    parent.kill()
    end(parent)
    assert wait_until(lambda: all_gone([guard]))
    assert "in order" in (tmp_path / "tree.log").read_text()


def test_ctrl_c_reaches_the_parent_alone_which_stops_in_order(tmp_path: Path) -> None:
    script = "trap 'echo interrupted' INT; trap 'echo in order; exit' TERM; echo up; while :; do sleep 0.02; done"
    parent, guard = start_parent(tmp_path, script)
    os.killpg(parent.pid, signal.SIGINT)
    end(parent)
    assert parent.returncode == -signal.SIGINT
    assert all_gone([guard])
    assert (tmp_path / "tree.log").read_text().splitlines() == ["up", "in order"]


def test_a_killed_guard_takes_its_server_along(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "echo up; exec sleep 97"))
        server = descendants(supervisor.pid("shell"))
        os.kill(supervisor.pid("shell"), signal.SIGKILL)
        assert wait_until(lambda: all_gone(server))
        assert [dead.name for dead in supervisor.dead()] == ["shell"]


def test_a_server_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "trap '' TERM; echo up; sleep 97; sleep 98", stop_timeout_s=0.1))
        tree = descendants(supervisor.pid("shell"))
    assert tree
    assert all_gone(tree)


def test_sigterm_goes_to_the_leader_alone(tmp_path: Path) -> None:
    child = 'trap "echo child told" TERM; sleep 0.2; echo child done'
    leader = f"bash -c '{child}' & trap 'wait; exit' TERM; echo up; wait"
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, leader))
    assert (tmp_path / "shell.log").read_text().splitlines() == ["up", "child done"]


def test_a_server_that_ends_early_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = shell(tmp_path, "seq 100; echo no such model >&2; exit 3")
    with pytest.raises(StackError) as caught, Supervisor(10) as supervisor:
        supervisor.start(server)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"shell ended with code 3 before it was ready. The end of {server.log}:"
    assert [line.strip() for line in lines[1:]] == [*map(str, range(72, 101)), "no such model"]


def test_a_server_that_never_becomes_healthy_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    clock = ManualClock()
    with (
        pytest.raises(StackError, match=r"not ready after 60 s \(CUTSTREAM_STACK__START_TIMEOUT_S\)"),
        Supervisor(60, clock) as supervisor,
    ):
        supervisor.start(shell(tmp_path, "sleep 97", ready=lambda: False))


def test_a_command_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    server = ServerSpec("ghost", ["/no/such/binary"], {}, tmp_path / "ghost.log", lambda: False)
    with pytest.raises(StackError, match="cannot start /no/such/binary: No such file"), Supervisor(10) as supervisor:
        supervisor.start(server)


def test_a_place_to_write_to_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    server = shell(tmp_path, "echo up", writes=(tmp_path / "missing",))
    with pytest.raises(StackError, match=r"cannot start \S*bash: \S*missing: No such"), Supervisor(10) as supervisor:
        supervisor.start(server)


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
def test_a_server_changes_files_in_its_own_places_alone(tmp_path: Path) -> None:
    own, others = tmp_path / "own", tmp_path / "others"
    for folder in (own, others):
        folder.mkdir()
        (folder / "old").touch()
    changes = "; ".join(f"echo a > {at}/new; echo a > {at}/old; mkdir {at}/folder" for at in (own, others))
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, f"{changes}; cat {others}/old; echo up; sleep 97", writes=(own,)))
    assert sorted(path.name for path in own.iterdir()) == ["folder", "new", "old"]
    assert (own / "old").read_text() == "a\n"
    assert [path.name for path in others.iterdir()] == ["old"]
    assert (others / "old").read_text() == ""


def test_one_failure_stops_the_others(tmp_path: Path) -> None:
    good, bad = shell(tmp_path, TREE, "good"), shell(tmp_path, "sleep 0.2; exit 1", "bad")
    with Supervisor(10) as supervisor:
        with pytest.raises(StackError, match="bad ended with code 1"):
            supervisor.start(good, bad)
        tree = descendants(supervisor.pid("good"))
    assert tree
    assert all_gone(tree)


def test_a_later_death_is_noticed(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "echo up; exec sleep 97"))
        assert supervisor.dead() == ()
        descendants(supervisor.pid("shell"))[0].kill()
        assert wait_until(lambda: supervisor.dead() != ())
        with pytest.raises(StackError, match="shell ended with code 137"):
            supervisor.check()


def test_a_death_whose_log_has_gone_keeps_its_name(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "echo up; exec sleep 97"))
        descendants(supervisor.pid("shell"))[0].kill()
        assert wait_until(lambda: supervisor.dead() != ())
        next(tmp_path.glob("*.log")).unlink()
        with pytest.raises(StackError, match=r"shell ended with code 137.*\n.*cannot be read: No such file"):
            supervisor.check()


def test_servers_started_last_stop_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = f"trap 'sleep 0.1; echo {{}} >> {order}; exit' TERM; echo up; while :; do sleep 0.02; done"
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, script.format("broker"), "broker"))
        supervisor.start(shell(tmp_path, script.format("worker"), "worker"))
    assert order.read_text().split() == ["worker", "broker"]


def test_one_server_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    one, two = (shell(tmp_path, "echo up $$; exec sleep 97", name) for name in ("one", "two"))
    with Supervisor(10) as supervisor:
        supervisor.start(one, two)
        supervisor.stop("one")
        supervisor.check()
        first = one.log.read_text()
        supervisor.start(one)
        assert one.log.read_text() != first
        assert one.log.with_name("one.log.1").read_text() == first


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_server_inherits_the_environment_and_the_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setenv("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY", "canary")
    server = ServerSpec(
        "env",
        ["bash", "-c", "umask; pwd; grep -E '^(Cap...|NoNewPrivs):' /proc/self/status; echo up; sleep $LONG; exit"],
        {"LONG": "97"},
        tmp_path / "env.log",
        lambda: "up" in (tmp_path / "env.log").read_text(),
        cwd=tmp_path,
        trusted=trusted,
    )
    with Supervisor(10) as supervisor:
        supervisor.start(server)
        guard = psutil.Process(supervisor.pid("env"))
        family = [guard, *guard.children(recursive=True)]
        environments = [process.environ() for process in family]
    umask, folder, *rights, _up = server.log.read_text().splitlines()
    assert folder == str(tmp_path)
    assert [environment.get("LONG") for environment in environments] == [None, "97", "97"]
    inherits = [environment.get("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY") == "canary" for environment in environments]
    assert inherits == [trusted] * 3
    if not trusted:
        assert umask == "0077"
        own = {name: int(value, 16) for name, value in (line.split(":") for line in rights)}
        bounding = own.pop("CapBnd")
        assert own == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0, "NoNewPrivs": 1}
        assert bounding == 0 or os.geteuid()


def test_a_server_shows_its_open_files_to_nobody(tmp_path: Path) -> None:
    """Boost would do it to Triton's shared memory, whatever the umask says."""
    script = """
import os
for mode in (0o600, 0o640, 0o701, 0o100):
    try:
        os.chmod(1, mode)
        print("made")
    except PermissionError:
        print("refused")
os.execlp("bash", "bash", "-c", "echo up; sleep 97")
"""
    log = tmp_path / "python.log"
    command = [sys.executable, "-c", script]
    server = ServerSpec("python", command, {"PYTHONUNBUFFERED": "1"}, log, lambda: "up" in log.read_text())
    with Supervisor(10) as supervisor:
        supervisor.start(server)
    told = log.read_text().split("\n")
    if "no filter" in told[0]:
        pytest.skip("this kernel has no seccomp")
    assert told[:4] == ["made", "refused", "refused", "made"]


def test_a_machine_whose_calls_cannot_be_filtered_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "MACHINES", {})
    guard.keep_files_private()
    assert "the server may show files to others" in capfd.readouterr().out


def test_a_server_has_no_more_descriptors_than_it_needs(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "ulimit -Sn; ulimit -Hn; echo up; sleep 97", descriptors=64))
        supervisor.start(shell(tmp_path, "echo up; sleep 97", "greedy", descriptors=1 << 40))  # more than there are
    assert (tmp_path / "shell.log").read_text().split() == ["64", "64", "up"]


def test_a_server_whose_log_is_full_goes_on(tmp_path: Path) -> None:
    script = f"head -c 9000 /dev/zero; touch {tmp_path / 'on'}; sleep 97"
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, script, ready=(tmp_path / "on").exists, file_bytes=5000))
    assert (tmp_path / "shell.log").stat().st_size == 5000


def test_a_taken_port_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = shell(tmp_path, "echo up", ports={"CUTSTREAM_STACK__KAFKA_PORT": port})
        message = f"port {port} of shell is in use: free it, or set CUTSTREAM_STACK__KAFKA_PORT"
        with pytest.raises(StackError, match=message), Supervisor(10) as supervisor:
            supervisor.start(server)
    assert not server.log.exists()


def test_two_settings_with_one_port_are_an_error(tmp_path: Path) -> None:
    server = shell(tmp_path, "", ports={"CUTSTREAM_STACK__A_PORT": 18_999, "CUTSTREAM_STACK__B_PORT": 18_999})
    with pytest.raises(StackError, match="CUTSTREAM_STACK__A_PORT and CUTSTREAM_STACK__B_PORT are both 18999"):
        check_ports([server])


def test_servers_start_beside_each_other_and_those_that_others_need_stop_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = f"trap 'sleep 0.1; echo {{}} >> {order}; exit' TERM; echo up; while :; do sleep 0.02; done"
    with Supervisor(10) as supervisor:
        supervisor.launch(shell(tmp_path, script.format("broker"), "broker"), stop_last=True)
        supervisor.launch(shell(tmp_path, script.format("worker"), "worker"))
        supervisor.launch(shell(tmp_path, script.format("models"), "models"), stop_last=True)
        supervisor.wait_until_healthy("broker")
        supervisor.wait_until_healthy()
        assert supervisor.poll() == ()
        assert [server.name for server in supervisor.servers] == ["broker", "models", "worker"]
    assert order.read_text().split()[0] == "worker"
    assert set(order.read_text().split()[1:]) == {"broker", "models"}


def test_a_server_that_starts_is_not_among_those_that_run(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.launch(
            shell(tmp_path, "sleep 97", "slow", ready=lambda: False), shell(tmp_path, "echo up; sleep 97")
        )
        supervisor.wait_until_healthy("shell")
        assert supervisor.poll() == ("slow",)
        assert [server.name for server in supervisor.servers] == ["shell"]
        assert set(supervisor.ready_s) == {"shell"}


def test_the_end_of_a_server_that_others_do_not_wait_for_is_told_all_the_same(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.launch(shell(tmp_path, "exit 3", "bad"), shell(tmp_path, "sleep 97", ready=lambda: False))
        with pytest.raises(StackError, match="bad ended with code 3 before it was ready"):
            supervisor.wait_until_healthy("shell")


def test_a_kill_asks_nobody_and_removes_what_is_left(tmp_path: Path) -> None:
    deaf = "trap 'echo asked' TERM; echo up; while :; do sleep 0.02; done"
    (tmp_path / "memory").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    remains = [tmp_path / name for name in ("memory", "empty", "full", "gone")]
    with Supervisor(10, kills=True) as supervisor:
        supervisor.start(shell(tmp_path, deaf, "deaf", remains=lambda: remains), shell(tmp_path, TREE))
        tree = [*descendants(supervisor.pid("shell")), *descendants(supervisor.pid("deaf"))]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert all_gone(tree)
    assert (tmp_path / "deaf.log").read_text() == "up\n"
    assert [path.exists() for path in remains] == [False, False, True, False]


def test_a_kill_of_what_has_ended_already_is_no_error(tmp_path: Path) -> None:
    with Supervisor(10) as supervisor:
        supervisor.start(shell(tmp_path, "echo up; sleep 97"))
        descendants(supervisor.pid("shell"))[0].kill()
        assert wait_until(lambda: supervisor.exit_code("shell") is not None)
        supervisor.kill()
        assert supervisor.servers == ()
