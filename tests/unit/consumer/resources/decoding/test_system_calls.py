"""What a decoder process can still do once a file has taken it over, where the kernel has filters of system calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.resources.decoding import system_calls
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.decoding.system_calls import why_unfiltered
from tests.support import obedient_decoder
from tests.support.obedient_decoder import HEADER, PROGRAM

filtered = pytest.mark.skipif(why_unfiltered() != "", reason=why_unfiltered())

ATTEMPTS = [
    "os.open('/etc/passwd', os.O_RDONLY)",
    "os.open('/proc/WORKER/environ', os.O_RDONLY)",
    "os.open('/proc/WORKER/mem', os.O_RDWR)",
    "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
    "os.stat('/etc/passwd')",
    "os.listdir('/')",
    "os.mkdir('/tmp/cutstream-taken-over')",
    "os.unlink('/tmp/cutstream-taken-over')",
    "os.getcwd()",
    "os.fork() or os._exit(0)",
    "os.execv('/bin/true', ['true'])",
    "socket.socket()",
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair()",
    "os.kill(WORKER, 0)",
    "os.kill(os.getpid(), 0)",
    "os.pidfd_open(WORKER)",
    "signal.raise_signal(signal.SIGUSR1)",
    "resource.prlimit(WORKER, resource.RLIMIT_AS)",
    "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
    "resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))",
    "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))",
    "os.memfd_create('more')",
    "os.ftruncate(slot, 0)",
    "os.dup(slot)",
    "os.pipe()",
    "os.write(slot, b'x')",
    "fcntl.fcntl(connection, fcntl.F_SETOWN, WORKER)",
    "fcntl.ioctl(connection, 0)",
    "os.setuid(65534)",
    "os.sched_setaffinity(0, {0})",
    "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecoderPool]:
    obedient_decoder.install(monkeypatch)
    monkeypatch.setenv("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY", "hunter2")
    pool = make_pool()
    yield pool
    pool.close()


def make_pool() -> DecoderPool:
    pool = DecoderPool(1, 5.0, max_bytes=1_000_000, max_pixels=100_000, on_restart=lambda: None)
    pool.start()
    return pool


def notes(pool: DecoderPool, program: str) -> list[str]:
    return [warning.message for warning in pool.decode(program.encode(), HEADER).warnings]


@filtered
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_decoder_reaches_no_file_no_network_and_no_process(pool: DecoderPool, attempt: str) -> None:
    program = f"""
import fcntl, mmap, os, resource, signal, socket
try:
    notes.append(f"done: {{{attempt.replace("WORKER", str(os.getpid()))}}}")
except (OSError, ValueError) as error:
    notes.append(type(error).__name__)
"""
    assert notes(pool, program) in (["OSError"], ["PermissionError"], ["ValueError"])


@filtered
def test_every_call_that_is_not_on_the_list_seems_not_to_exist(pool: DecoderPool) -> None:
    """Also the calls of 32-bit programs on x86 (x32), which have numbers of their own."""
    column = list(system_calls._MACHINES).index(os.uname().machine)
    listed = {numbers[column] for numbers in (*system_calls._FREE.values(), *system_calls._bound())}
    probes = {335, 336} if os.uname().machine == "x86_64" else set()  # of the kernel itself, which no filter sees
    others = sorted(set(range(700)) - listed - probes)
    assert "Seccomp:\t2" in Path(f"/proc/{pool.pids[0]}/status").read_text()  # or the calls below would be made
    program = f"""
import ctypes, errno
library, found = ctypes.CDLL(None, use_errno=True), []
for number in {others}:
    for called in (number, number | 0x40000000):
        if library.syscall(called, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.ENOSYS:
            found.append(called)
notes.append(found)
"""
    assert notes(pool, program) == ["[]"]


@filtered
@pytest.mark.parametrize(
    "call",
    [
        "mprotect(page, 4096, 7)",
        "prctl(4, 0, 0, 0, 0)",  # PR_SET_DUMPABLE
        "prctl(1, 9, 0, 0, 0)",  # PR_SET_PDEATHSIG: SIGKILL
        "syscall(CLONE, 17, 0, 0, 0, 0)",  # fork
        "syscall(CLONE, 0x40010f00, 0, 0, 0, 0)",  # a thread in a network of its own
    ],
)
def test_listed_calls_are_refused_with_other_arguments(pool: DecoderPool, call: str) -> None:
    clone = 56 if os.uname().machine == "x86_64" else 220
    program = f"""
import ctypes
library = ctypes.CDLL(None, use_errno=True)
page = ctypes.c_void_p(id(library) // 4096 * 4096)
notes.append((library.{call.replace("CLONE", str(clone))}, ctypes.get_errno()))
"""
    assert notes(pool, program) == ["(-1, 1)"]  # EPERM


@filtered
def test_every_thread_has_the_filter_and_no_privilege(pool: DecoderPool) -> None:
    notes(pool, "import threading, time; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()")
    tasks = list(Path(f"/proc/{pool.pids[0]}/task").iterdir())
    assert len(tasks) > 1
    for task in tasks:
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}


def test_a_decoder_has_no_secrets_and_holds_nothing_but_its_slot_and_its_connections(pool: DecoderPool) -> None:
    process = Path(f"/proc/{pool.pids[0]}")
    assert b"hunter2" not in (process / "environ").read_bytes()
    assert b"CUTSTREAM" not in (process / "environ").read_bytes()
    opened = {int(file.name): os.readlink(file) for file in (process / "fd").iterdir()}
    assert opened.pop(0) == "/dev/null"
    assert opened.pop(1) == opened.pop(2)
    kinds = sorted(target.split(":")[0] if target.startswith("socket") else target for target in opened.values())
    assert kinds == ["/memfd:cutstream-decoder (deleted)"] * 2 + [f"/proc/{pool.pids[0]}/statm", "socket"]
    said = notes(pool, "import os, resource\nnotes += [resource.getrlimit(resource.RLIMIT_AS), dict(os.environ)]")
    assert "hunter2" not in str(said)
    limits = (process / "limits").read_text()
    assert "Max core file size        0                    0" in limits
    assert "Max file size             0                    0" in limits


def test_where_there_is_no_filter_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without = "decoder_process.forbid_system_calls = lambda: 'no seccomp here'\ndecoder_process.main()"
    obedient_decoder.run(monkeypatch, PROGRAM.replace("decoder_process.main()", without))
    with caplog.at_level(logging.WARNING):
        pool = make_pool()
        try:
            assert notes(pool, "import os; notes.append(os.path.exists('/'))") == ["True"]
        finally:
            pool.close()
    assert [record.message for record in caplog.records] == ["decoders can reach files and networks: no seccomp here"]


def test_a_processor_without_a_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_calls, "_MACHINES", {})
    assert why_unfiltered() == f"there is no list of system calls for {os.uname().machine}"
