"""The state folder of a stack: locked while the stack runs, and of its own for a run that leaves nothing behind."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from tempfile import mkdtemp
from time import sleep

from cutstream.acl import inherit_no_list
from cutstream.clock import SystemClock
from cutstream.errors import StackError
from cutstream.ownership import why_planted, why_shared
from cutstream.settings import Settings, about

_LOCK = "stack.lock"
_INBOX = "inbox"  # its files are other names of photos, which may be anybody's
_PRIVATE = ("kafka", "triton", "logs", "private", _INBOX)
_RUN = "cutstream-run-"
_LOOKS, _LOOK_S = 5, 0.02
_STARTING_S = 60.0  # a folder that is younger may belong to a run that has not locked it yet


def private_folder(folder: Path) -> Path:
    """Make the folder and everything in it unreachable for other users, even if it is an old one. Return it.

    Raises StackError if other users could have changed it.
    """
    _refuse_shared(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder)
        folder.chmod(0o700)
    except OSError as exc:
        raise StackError(
            f"{folder} cannot be kept from other users ({exc.strerror}): name another folder in CUTSTREAM_STACK__STATE"
        ) from exc
    return folder


@contextmanager
def lock_state(state: Path) -> Iterator[None]:
    """Create the folder and lock it against other stacks until the block ends or this process dies.

    Raises StackError, before anything is written, if other users could change the folder or have put something into it.
    """
    _own_folder(state)
    for name in _PRIVATE:
        if os.path.lexists(state / name):
            _refuse_shared(state / name)
    if os.path.lexists(state / _LOCK) and not is_own_file((state / _LOCK).lstat()):
        raise _not_own(state / _LOCK)
    if problem := why_planted(state, photos=state / _INBOX, apart=_RUN):
        raise StackError(about("stack", "state", problem))
    for name in _PRIVATE:
        if (state / name).exists():
            private_folder(state / name)
    with _named_errors(state, "be locked"):
        lock = _open_lock(state / _LOCK)
    with lock:
        with _named_errors(state, "be locked"):
            _lock(lock, state)
        yield


def is_in_use(state: Path) -> bool:
    """Tell whether a stack has locked the folder: it runs, or is starting or stopping. Nothing is written."""
    path = state / _LOCK
    try:
        if not is_own_file(path.lstat()):
            return False  # `lock_state` says so
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _own_folder(state: Path) -> None:
    """Create the folder unless it is there. Raises StackError if other users could change or replace it."""
    _refuse_shared(state)  # the way to it, if it is not there yet
    with _named_errors(state, "be made a folder"):
        is_new = not state.exists()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # a folder that was there may have other purposes, too
        if is_new:
            inherit_no_list(state)
    _refuse_shared(state)


def _refuse_shared(folder: Path) -> None:
    if problem := why_shared(folder):
        raise StackError(about("stack", "state", problem))


def _open_lock(path: Path) -> FileIO:
    """Open the lock for reading and writing. Raises StackError if it is anything but a file of this user's."""
    try:
        file = FileIO(path, "r+", opener=open_unplanted)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise _not_own(path) from exc
        raise
    if not is_own_file(os.fstat(file.fileno())):
        file.close()
        raise _not_own(path)
    return file


def _not_own(path: Path) -> StackError:
    return StackError(about("stack", "state", f"{path} is no file of yours: remove it, or name another folder"))


def open_unplanted(path: str, flags: int) -> int:
    """Open a file without following a link, and without waiting at a pipe. Make it unless it exists."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def write_anew(file: Path, text: str) -> None:
    """Write a file at once, in place of whatever has its name: it never writes through a link."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with open(part, "x", opener=open_unplanted) as writing:
        writing.write(text)
    part.replace(file)


@contextmanager
def usable(state: Path) -> Iterator[None]:
    """Name what of a state folder this user cannot use. Raises StackError."""
    try:
        yield
    except (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError) as exc:
        problem = f"{exc.filename or state} cannot be used ({exc.strerror}): remove it, or name another folder"
        raise StackError(about("stack", "state", problem)) from exc


def is_own_file(status: os.stat_result) -> bool:
    """Tell whether it is a file of this user's, with no other name elsewhere."""
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink <= 1


def _lock(file: FileIO, state: Path) -> None:
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        sleep(_LOOK_S)  # a command may be looking, which takes no time
    else:
        file.seek(0)
        holder = file.read().decode(errors="replace") or "unknown"
        raise StackError(
            f"a stack already runs on {state} (process {holder}): stop it, or set CUTSTREAM_STACK__STATE to another "
            "folder and CUTSTREAM_STACK__*_PORT to other ports"
        )
    file.truncate(0)
    file.seek(0)
    file.write(str(os.getpid()).encode())


@contextmanager
def throwaway(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with a temporary state folder, which is removed at the end.

    Thus no run finds requests in the topics that an interrupted run left there. What runs have left behind that were
    killed is removed, too.
    """
    parent = settings.stack.state.absolute()
    _own_folder(parent)
    _remove_abandoned(parent)
    with _named_errors(parent, "be written to"):
        folder = Path(mkdtemp(prefix=_RUN, dir=parent))
    try:
        with _named_errors(parent, "be written to"):
            (folder / _LOCK).touch()  # it marks the folder as ours
        stack = settings.stack.model_copy(update={"state": folder})
        yield settings.model_copy(update={"stack": stack})
    finally:
        _remove(folder)


@contextmanager
def _named_errors(state: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StackError(f"CUTSTREAM_STACK__STATE={state} cannot {what} ({exc.strerror}): name another folder") from exc


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of runs that were killed. The parent may hold anything else: only ours have name and lock."""
    now = SystemClock().wall()
    for folder in parent.glob(f"{_RUN}*"):
        try:
            status = folder.lstat()
            is_ours = status.st_uid == os.geteuid() and is_own_file((folder / _LOCK).lstat())
            if is_ours and stat.S_ISDIR(status.st_mode) and now - status.st_mtime > _STARTING_S:
                with lock_state(folder):
                    _remove(folder)
        except (OSError, StackError):
            pass  # it is in use, gone, or open to other users


def _remove(folder: Path) -> None:
    """Remove the folder, and its lock last: what servers still write to it is then left to the next run.

    They may do so after a second Ctrl-C.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        if {path.name for path in folder.iterdir()} <= {_LOCK}:
            shutil.rmtree(folder, ignore_errors=True)
