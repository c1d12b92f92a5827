"""Folders that other accounts of this machine can neither change nor replace: the rules of OpenSSH's StrictModes."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from cutstream.accounts import account

_MAX_LINKS = 40  # as in Linux


def why_shared(folder: Path) -> str:
    """Return how others could change or replace the folder, with what to do. Empty if they cannot.

    The folder must be the user's own and no link. Each folder and link on the way to it must be the user's or root's.
    Others may write to none of them, except to sticky ones on the way, such as /tmp, where they can rename nothing of
    ours. Of a folder that does not exist, only the way to it is checked.
    """
    user = os.geteuid()
    try:
        if folder.is_symlink():
            return f"{folder} is a link, which could be changed: name the folder itself"
        for entry, status in _way_to(folder):
            is_sticky = status.st_mode & stat.S_ISVTX
            if status.st_uid not in (0, user):
                return _belongs(entry, status)
            if _others_write(status) and not is_sticky:
                return _open_to_others(entry, status)
        status = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as exc:
        return f"{folder} cannot be looked at ({exc.strerror}): name another folder"
    if status.st_uid != user:
        return _belongs(folder, status)
    return _open_to_others(folder, status) if _others_write(status) else ""


def _way_to(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folders and links from the root to this folder, itself included, with what the system says of them.

    Nobody can replace one between its check and its use if those before it have passed.
    """
    pending = list(reversed(folder.absolute().parts))
    here = Path("/")
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            here = here.parent
            continue
        entry = here / part
        status = entry.lstat()
        yield entry, status
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            pending.extend(reversed(entry.readlink().parts))
        else:
            here = entry


def _others_write(status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return False  # nobody can write to a link, whatever its mode
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid, status.st_uid)


def _is_own_group(gid: int, uid: int) -> bool:
    """Tell whether an account has a group for itself. With umask 002, which is common then, it may write to folders."""
    try:
        owner, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return owner.pw_gid == gid and group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _belongs(entry: Path, status: os.stat_result) -> str:
    return (
        f"{entry} belongs to the user {account(status.st_uid)}, who could replace what is in it: name a folder of your "
        f"own, or have it given to you (chown {account(os.geteuid())})"
    )


def _open_to_others(entry: Path, status: os.stat_result) -> str:
    return (
        f"other users may write to {entry} (mode {stat.S_IMODE(status.st_mode):04o}) and replace what is in it: name "
        "another folder, or close it to them (chmod go-w)"
    )
