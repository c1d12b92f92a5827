"""Accounts of this machine: whose a file is, and whose server listens on a port."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

_SOCKETS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# Address and port, the other end's, the state "listening", queues, timers, the user's id. Loopback and all addresses.
_LISTENING = re.compile(
    r": (?:0*|0*0100007F|0{16}FFFF00000100007F|0{24}01000000):(\w{4}) \w+:\w+ 0A (?:\S+ ){3} *(\d+) "
)


def owner_of(path: Path) -> int:
    """Return the user id of a file's or link's owner, or that of the folder that hides it from this user.

    Raises FileNotFoundError or NotADirectoryError.
    """
    for visible in (path, *path.absolute().parents):
        try:
            return visible.stat(follow_symlinks=visible != path).st_uid
        except PermissionError:
            continue
    raise FileNotFoundError(path)  # cannot be: everybody sees the root


def stranger_on(port: int) -> str:
    """Return the name of another account, one of whose programs listens on this port of loopback. Empty: none does."""
    for file in _SOCKETS:
        try:
            listening = _LISTENING.findall(file.read_text())
        except OSError:  # no Linux, or no IPv6
            continue
        for number, uid in listening:
            if int(number, 16) == port and int(uid) != os.geteuid():
                return account(int(uid))
    return ""


def account(uid: int) -> str:
    """Return the name of an account, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
