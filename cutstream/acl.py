"""POSIX access control lists: whom a file's list lets write, besides its owner."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

_ACCESS, _INHERITED = "system.posix_acl_access", "system.posix_acl_default"
_NO_LIST = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS)
_ENTRY = struct.Struct("<HHI")  # what it is for, its rights, the id of the user or group; after four bytes of version
_USER, _OWNING_GROUP, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
_WRITE = 0o2


def listed_writers(path: str, owning_group: int) -> tuple[set[int], set[int]] | None:
    """Return the ids of the users and of the groups whom the list of a file or folder lets write. None: it has no list.

    Raises OSError if the list cannot be read.
    """
    try:
        data = os.getxattr(path, _ACCESS, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _NO_LIST:
            return None
        raise
    entries = list(_ENTRY.iter_unpack(data[4:]))
    mask = next((rights for kind, rights, _ in entries if kind == _MASK), _WRITE)
    writing = [(kind, id) for kind, rights, id in entries if rights & mask & _WRITE]
    groups = {id for kind, id in writing if kind == _GROUP}
    if any(kind == _OWNING_GROUP for kind, _ in writing):
        groups.add(owning_group)
    return {id for kind, id in writing if kind == _USER}, groups


def inherit_no_list(folder: Path) -> None:
    """Let what is made in a folder get no list from it, as the folder's own parent would have it. Raises OSError."""
    try:
        os.removexattr(folder, _INHERITED)
    except OSError as exc:
        if exc.errno not in _NO_LIST:
            raise
