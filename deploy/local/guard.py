"""Run one server for a parent process that may die at any moment.

`python guard.py PARENT_PID` reads one line of JSON from standard input: `command`, `environment`, `stop_timeout_s` and
`trusted`; a server that is not trusted gives up its rights. With `writes` it changes files in those places alone. With
`descriptors` it opens no more files and connections than that at once; with `file_bytes` it makes no longer file.
The end of standard input is the command to stop, so a parent that is killed stops its servers like one that exits
normally. A `k` before it means that the server need not end in order. This program imports no package, because it
starts before every server.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITY_VERSION_3, CAPABILITIES = 0x20080522, 64
# Landlock, in Linux 5.13 and later: a process gives up access to files, for itself and all that it starts.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, WITH_VERSION, PATH_BENEATH = 444, 445, 446, 1, 1
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # remove and make whatever kind of file
SINCE = {2: 1 << 13, 3: TRUNCATE}  # rights of later versions: move to another folder, and cut
# Seccomp: the kernel asks a small program about each system call of a process, and of all that it starts.
MACHINES = {"x86_64": (0xC000003E, 317, 91), "aarch64": (0xC00000B7, 277, 52)}  # AUDIT_ARCH, seccomp(2), fchmod(2)
LOAD, IF_EQUAL, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, MACHINE, MODE = 0, 4, 24  # where struct seccomp_data has them; the mode is the second argument
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# Speculation control slows a process down; kernels before 5.16 switch it on by default.
SET_MODE_FILTER, NO_SPECULATION_CONTROL = 1, 4
OTHERS = 0o077  # the rights of all but the owner
CONTROL = 0  # standard input
KILL = b"k"  # what it says after the server's description, before it ends
NOT_STARTED = 127

libc = ctypes.CDLL(None, use_errno=True)
prctl = libc.prctl


def main() -> int:
    parent = int(sys.argv[1])
    wakeup = wake_on_signals()
    # Orphaned processes of the server, in any session, become children of this process and not of init.
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open(CONTROL, "rb", buffering=0, closefd=False) as control:
        line = control.readline()
    if not line:  # the parent has exited already
        return 0
    return serve(json.loads(line), parent, wakeup)


def serve(spec: dict[str, Any], parent: int, wakeup: int) -> int:
    try:
        leader = start(spec)
    except OSError as exc:
        program = spec["command"][0]
        place = f"{exc.filename}: " if exc.filename not in (None, program) else ""
        print(f"cannot start {program}: {place}{exc.strerror}", flush=True)  # noqa: T201
        return NOT_STARTED
    order = watch(leader, parent, wakeup)
    if order == KILL:
        leader.kill()
    stop(leader, spec["stop_timeout_s"])
    # subprocess reports a signal as a negative number; report it like a shell.
    return leader.returncode if leader.returncode >= 0 else 128 - leader.returncode


def start(spec: dict[str, Any]) -> subprocess.Popen[bytes]:
    trusted, writes = spec["trusted"], spec["writes"]
    rules = None if trusted or writes is None else ruleset(writes)

    def prepare() -> None:
        # If the guard itself is killed, the server dies with it. The signal is tied to the thread; there is only one.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        limit(resource.RLIMIT_NOFILE, spec["descriptors"])
        limit(resource.RLIMIT_FSIZE, spec["file_bytes"])
        if spec["file_bytes"] is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that is full is an error, not the server's end
        if not trusted:
            give_up_rights()
            keep_files_private()
        if rules is not None:
            check(libc.syscall(RESTRICT_SELF, rules, 0))

    try:
        return subprocess.Popen(
            spec["command"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **spec["environment"]},  # noqa: TID251  passed on, not read
            start_new_session=True,
            preexec_fn=prepare,
        )
    finally:
        if rules is not None:
            os.close(rules)


def give_up_rights() -> None:
    """Have this process make private files, and let neither it nor what it starts have or gain the rights of root.

    An ordinary user has no rights to give up, and may not touch the bounding set; then the first call fails.
    """
    os.umask(0o077)
    for capability in range(CAPABILITIES):
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable ones, in two halves
    libc.capset(header, none)


def keep_files_private() -> None:
    """Let neither this process nor what it starts undo the umask by fchmod(2), if the kernel can filter calls.

    Boost does that to the shared memory of Triton, with the photos in it, and goes on when it is refused.
    """
    machine = os.uname().machine
    result, reason = -1, f"unknown machine {machine}"
    if machine in MACHINES:
        architecture, seccomp, fchmod = MACHINES[machine]
        program = b"".join(struct.pack("HBBI", *line) for line in private_modes(architecture, fchmod))
        buffer = ctypes.create_string_buffer(program, len(program))
        filter = struct.pack("HP", len(program) // struct.calcsize("HBBI"), ctypes.addressof(buffer))
        result = libc.syscall(seccomp, SET_MODE_FILTER, NO_SPECULATION_CONTROL, filter)
        reason = os.strerror(ctypes.get_errno())
    if result != 0:
        print(f"no filter of system calls (seccomp, {reason}): the server may show files to others", flush=True)  # noqa: T201


def private_modes(architecture: int, fchmod: int) -> list[tuple[int, int, int, int]]:
    """Return a program that refuses fchmod(2) with rights for others: codes, lines to skip if true or not, operands."""
    return [
        (LOAD, 0, 0, MACHINE),
        (IF_EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_EQUAL, 0, 3, fchmod),
        (LOAD, 0, 0, MODE),
        (IF_ANY_BIT, 0, 1, OTHERS),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]


def limit(what: int, wanted: int | None) -> None:
    if wanted is not None:
        _, most = resource.getrlimit(what)
        given = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(what, (given, given))


def ruleset(places: list[str]) -> int | None:
    """Return a descriptor of the rules that let a process change files in these places alone.

    A process with such rules cannot look into others that lack them. None on a kernel without Landlock.
    """
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), WITH_VERSION)
    if version < 1:
        print("this kernel has no Landlock: the server may write wherever its user may", flush=True)  # noqa: T201
        return None
    rights = CHANGES | sum(right for since, right in SINCE.items() if version >= since)
    handled = ctypes.c_uint64(rights)
    rules: int = libc.syscall(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(ctypes.sizeof(handled)), 0)
    for place in places:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if os.path.isdir(place) else rights & (WRITE_FILE | TRUNCATE)
        rule = allowed.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        check(libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0), place)
        os.close(opened)
    return rules


def check(result: int, place: str | None = None) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def wake_on_signals() -> int:
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def watch(leader: subprocess.Popen[bytes], parent: int, wakeup: int) -> bytes:
    """Return when the server has ended or must stop, with what the parent has said of that."""
    # A process forked from the parent may keep the pipe open after the parent's death, so compare the parent's id, too.
    while leader.poll() is None and os.getppid() == parent:
        readable, _, _ = select.select([CONTROL, wakeup], [], [], 1.0)
        if CONTROL in readable:
            return os.read(CONTROL, 1)
        if wakeup in readable:
            if set(os.read(wakeup, 4096)) - {signal.SIGCHLD}:
                return b""
            reap_adopted(leader)
    return b""


def stop(leader: subprocess.Popen[bytes], timeout_s: float) -> None:
    leader.terminate()  # this process alone, because a server stops its own processes in the right order
    try:
        leader.wait(timeout_s)
    except subprocess.TimeoutExpired:
        leader.kill()
        leader.wait()
    while remaining := children():
        for pid in remaining:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def reap_adopted(leader: subprocess.Popen[bytes]) -> None:
    for pid in children():
        if pid != leader.pid:
            os.waitpid(pid, os.WNOHANG)


def children() -> list[int]:
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if parent_of(path) == os.getpid()]


def parent_of(stat: Path) -> int | None:
    try:
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it ended after it was listed
        return None


if __name__ == "__main__":
    sys.exit(main())
