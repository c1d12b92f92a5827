"""Folders that other accounts of this machine can neither change nor replace: the rules of OpenSSH's StrictModes.

Access control lists count (`acl.py`); those of NFS version 4 are not read.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from cutstream.accounts import account
from cutstream.acl import listed_writers

_MAX_LINKS = 40  # as in Linux


def why_shared(folder: Path) -> str:
    """Return how others could change or replace the folder, with what to do. Empty if they cannot.

    The folder must be the user's own and no link. Each folder and link on the way to it must be the user's or root's.
    Others may write to none of them, except to sticky ones on the way, such as /tmp, where they can rename nothing of
    ours. Of a folder that does not exist, only the way to it is checked. What is in the folder is not: `why_planted`.
    """
    try:
        if folder.is_symlink():
            return f"{folder} is a link, which could be changed: name the folder itself"
        if problem := _why_replaceable(folder):
            return problem
        status = folder.stat()
        if status.st_uid != os.geteuid():
            return _belongs(folder, status)
        return _why_open(folder, status, _is_own_group)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as exc:
        return f"{folder} cannot be looked at ({exc.strerror}): name another folder"


def why_planted(folder: Path, photos: Path | None = None, apart: str = "") -> str:
    """Return which entry below the folder others have made or could change, with what to do. Empty if there is none.

    Each file, folder and link must be the user's or root's, and others may write to none. A link must lead to such a
    place, too. Only files below the folder `photos` may be anybody's, and of any mode. Folders directly in it
    whose names begin with `apart` are not looked into. 10,000 entries take 0.1 s.
    """
    is_own_group = cache(_is_own_group)
    pending = [str(folder)]
    while pending:
        here = pending.pop()
        are_photos = photos is not None and Path(here).is_relative_to(photos)
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder and not (apart and here == str(folder) and entry.name.startswith(apart)):
                        pending.append(entry.path)
                    if not (are_photos and entry.is_file(follow_symlinks=False)) and (
                        problem := _why_foreign(entry, is_own_group)
                    ):
                        return problem
        except (FileNotFoundError, NotADirectoryError):
            continue  # another process has removed it
        except OSError as exc:
            return f"{exc.filename} cannot be looked at ({exc.strerror}): remove it, or name another folder"
    return ""


def _why_foreign(entry: os.DirEntry[str], is_own_group: Callable[[int, int], bool]) -> str:
    try:
        status = entry.stat(follow_symlinks=False)
        if status.st_uid not in (0, os.geteuid()):
            return _belongs(entry.path, status)
        if not entry.is_symlink():
            return _why_open(entry.path, status, is_own_group)
    except FileNotFoundError:
        return ""
    return _why_leads_astray(Path(entry.path))


def _why_leads_astray(link: Path) -> str:
    """Return how others could change where the link leads, or what is there. Empty if they cannot."""
    try:
        problem = _why_replaceable(link) or _why_open(link, link.stat(), _is_own_group)
    except OSError as exc:
        if not os.path.lexists(link):
            return ""
        return f"{link} is a link that leads nowhere ({exc.strerror}): remove it"
    return problem and f"{link} is a link. {problem}"


def _why_replaceable(path: Path) -> str:
    """Return how others could replace a file or folder, or what is on the way to it. Empty if they cannot.

    Raises FileNotFoundError if it does not exist, and nothing on the way to it can be replaced.
    """
    for entry, status in _way_to(path):
        is_sticky = status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, os.geteuid()):
            return _belongs(entry, status)
        if not is_sticky and (problem := _why_open(entry, status, _is_own_group)):
            return problem
    return ""


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


def _why_open(path: Path | str, status: os.stat_result, is_own_group: Callable[[int, int], bool]) -> str:
    """Return how others could write to a file or folder, with what to do. Empty if they cannot."""
    if stat.S_ISLNK(status.st_mode):
        return ""  # nobody can write to a link, whatever its mode
    if status.st_mode & stat.S_IWOTH:
        return _open_to_others(path, status)
    if not status.st_mode & stat.S_IWGRP:  # nor can anybody on a list, for whom these are the most rights
        return ""
    listed = listed_writers(os.fspath(path), status.st_gid)
    users, groups = listed or (set(), {status.st_gid})
    if all(is_own_group(group, status.st_uid) for group in groups) and users <= {0, os.geteuid()}:
        return ""
    return _open_by_list(path) if listed else _open_to_others(path, status)


def _is_own_group(gid: int, uid: int) -> bool:
    """Tell whether an account has a group for itself. With umask 002, which is common then, it may write to folders.

    The group must have no other members, and be no other account's first group. Accounts that the system does not
    list, such as those of a large directory service, are not seen.
    """
    try:
        owner, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        owner.pw_gid == gid
        and group.gr_name == owner.pw_name
        and set(group.gr_mem) <= {owner.pw_name}
        and all(other.pw_uid == uid for other in pwd.getpwall() if other.pw_gid == gid)
    )


def _belongs(entry: Path | str, status: os.stat_result) -> str:
    return (
        f"{entry} belongs to the user {account(status.st_uid)}, who could replace what is in it: name a folder of your "
        "own, or remove this with all that is in it. Do not have it given to you (chown): it would still be their work"
    )


def _open_to_others(entry: Path | str, status: os.stat_result) -> str:
    return (
        f"other users may write to {entry} (mode {stat.S_IMODE(status.st_mode):04o}) and replace what is in it: name "
        "another folder, or close it to them (chmod go-w) if it holds nothing of theirs"
    )


def _open_by_list(entry: Path | str) -> str:
    return (
        f"other users may write to {entry} by its access control list and replace what is in it: name another "
        "folder, or remove the list (setfacl -b) if it holds nothing of theirs"
    )
