"""The environment of the programs that cutstream starts.

Lists of folders are passed on without their empty and relative entries, which mean the current folder: another account
may have put programs or libraries there. OpenCV appends such an entry to LD_LIBRARY_PATH when it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_LISTS = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "CLASSPATH")
_PRELOAD = "LD_PRELOAD"


def own_environment() -> dict[str, str]:
    """Return all variables, the settings with their secrets included, for programs of cutstream's own."""
    return _without_current_folder(os.environ)


def bare_environment() -> dict[str, str]:
    """Return the variables that a program needs in order to start. None of them is a secret."""
    return _without_current_folder({name: os.environ[name] for name in _HARMLESS if name in os.environ})


def _without_current_folder(variables: Mapping[str, str]) -> dict[str, str]:
    kept = dict(variables)
    for name in _LISTS:
        if name in kept:
            kept[name] = os.pathsep.join(filter(os.path.isabs, kept[name].split(os.pathsep)))
    if _PRELOAD in kept:  # a name without a folder is looked for where the system's libraries are
        libraries = kept[_PRELOAD].replace(":", " ").split()
        kept[_PRELOAD] = " ".join(name for name in libraries if os.path.isabs(name) or "/" not in name)
    return {name: value for name, value in kept.items() if value or name not in (*_LISTS, _PRELOAD)}
