"""The system calls that a decoder process may make: a filter (seccomp) that the process puts on all of its threads.

What a file can make its decoder do is what this list lets through: compute, use memory, start threads, and read and
write what is open already. All else fails: to open a file or a socket, to start a program, to touch another process.
A call that is not on the list fails with ENOSYS, as on a kernel that does not have it, so that the C library takes an
older one; a listed call with other arguments fails with EPERM. No call kills: a decoder that meets a surprise goes on.

The list is what `strace` shows for all generated files (`tests/support/pictures/`), with what C libraries use instead.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import struct
from collections.abc import Iterable
from typing import NamedTuple

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH of linux/audit.h
_MACHINES = {"x86_64": (_X86_64, 317), "aarch64": (_AARCH64, 277)}  # with the number of seccomp(2)

_FREE = {  # the numbers on x86_64 and aarch64, for any arguments
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "rseq": (334, 293),
}

_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020000  # linux/sched.h; all namespaces that clone(2) makes
_PR_SET_NAME = 15  # linux/prctl.h


class _Must(NamedTuple):
    """An argument, counted from 0, must be `value` in the bits of `mask`."""

    argument: int
    mask: int
    value: int


def _bound() -> dict[tuple[int, int], tuple[_Must, ...]]:
    """Return the numbers on x86_64 and aarch64 of calls that may be made with some arguments only."""
    whole = 0xFFFFFFFF
    return {
        (9, 222): (_Must(2, mmap.PROT_EXEC, 0),),  # mmap
        (10, 226): (_Must(2, mmap.PROT_EXEC, 0),),  # mprotect
        (56, 220): (_Must(0, _CLONE_THREAD | _CLONE_NEW, _CLONE_THREAD),),  # clone
        (157, 167): (_Must(0, whole, _PR_SET_NAME),),  # prctl
        (234, 131): (_Must(0, whole, os.getpid()), _Must(2, whole, signal.SIGABRT)),  # tgkill, of abort(3)
        (302, 261): (_Must(0, whole, 0), _Must(1, whole, resource.RLIMIT_AS)),  # prlimit64
    }


# linux/bpf_common.h, linux/seccomp.h
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data, whose arguments have 8 bytes each
_SET_MODE_FILTER = 1
_ALL_THREADS, _NO_SPECULATION_CONTROL = 1, 4  # the latter slows every thread down, on kernels before 5.16 by default


def forbid_system_calls() -> str:
    """Let this process make no other calls for as long as it lives. Return why that is impossible, or nothing.

    Privileges must have been given up for good (PR_SET_NO_NEW_PRIVS), and everything that is to be opened be open.
    """
    if os.uname().machine not in _MACHINES:
        return why_unfiltered()
    program = b"".join(_program())
    buffer = ctypes.create_string_buffer(program, len(program))
    length = len(program) // struct.calcsize("HBBI")
    filter = ctypes.create_string_buffer(struct.pack("HP", length, ctypes.addressof(buffer)))
    error = _set_filter(_ALL_THREADS | _NO_SPECULATION_CONTROL, filter)
    if error == errno.EINVAL:  # a kernel that does not know the second flag
        error = _set_filter(_ALL_THREADS, filter)
    return _explained(error)


def why_unfiltered() -> str:
    """Return why no process of this machine can have a filter, or nothing."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        return f"there is no list of system calls for {machine}"
    error = _set_filter(0, None)  # what can set a filter looks for it first
    return "" if error == errno.EFAULT else _explained(error)


def _set_filter(flags: int, filter: ctypes.Array[ctypes.c_char] | None) -> int:
    """Return the error's number, or 0."""
    number = _MACHINES[os.uname().machine][1]
    result = ctypes.CDLL(None, use_errno=True).syscall(number, _SET_MODE_FILTER, flags, filter)
    return ctypes.get_errno() if result < 0 else (errno.EBUSY if result else 0)  # or the thread that cannot have it


def _explained(error: int) -> str:
    return f"the kernel takes no filter of system calls (seccomp): {os.strerror(error)}" if error else ""


def _program() -> Iterable[bytes]:
    """Yield the filter's instructions. A listed call jumps over nothing; every other one over its line."""
    column = list(_MACHINES).index(os.uname().machine)
    machine = _MACHINES[os.uname().machine][0]
    yield from (_do(_LOAD, _MACHINE_AT), _do(_IF_EQUAL, machine, 1, 0), _do(_RETURN, _ERROR | errno.ENOSYS))
    yield _do(_LOAD, _NUMBER_AT)
    for numbers in _FREE.values():
        if (number := numbers[column]) is not None:
            yield from (_do(_IF_EQUAL, number, 0, 1), _do(_RETURN, _ALLOW))
    for bound, conditions in _bound().items():
        lines = list(_checks(conditions))
        yield from (_do(_IF_EQUAL, bound[column], 0, len(lines)), *lines)
    yield _do(_RETURN, _ERROR | errno.ENOSYS)


def _checks(conditions: tuple[_Must, ...]) -> Iterable[bytes]:
    for must in conditions:
        yield from (_do(_LOAD, _ARGUMENTS_AT + 8 * must.argument), _do(_AND, must.mask))  # the lower half
        yield from (_do(_IF_EQUAL, must.value, 1, 0), _do(_RETURN, _ERROR | errno.EPERM))
    yield _do(_RETURN, _ALLOW)


def _do(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)
