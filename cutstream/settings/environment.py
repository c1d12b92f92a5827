"""The environment for processes that must not see the settings, such as passwords."""

from __future__ import annotations

import os

_HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


def bare_environment() -> dict[str, str]:
    """Return the variables that a Python program needs in order to start. None of them is a secret."""
    return {name: os.environ[name] for name in _HARMLESS if name in os.environ}
