"""Names of settings: as environment variables, as anchors in docs/settings.md, and their former names."""

from __future__ import annotations

import os
from collections.abc import Mapping

PREFIX = "CUTSTREAM_"
CONFIG_FILE = "CUTSTREAM_CONFIG"

# A former name is refused, and the message gives the new one: an old deployment must not fall back to a default.
RENAMED: Mapping[tuple[str, str], str] = {
    ("models", "nets"): "network_overrides",
    ("objects", "roots"): "file_roots",
    ("worker", "drain_s"): "drain_timeout_s",
    ("worker", "poison_run"): "max_consecutive_failures",
}
RENAMED_VALUES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("models", "precision"): {"f32": "fp32"},
}


def config_file() -> str | None:
    """Return the value of CUTSTREAM_CONFIG, in whatever case the variable is written."""
    return next((value for name, value in os.environ.items() if name.upper() == CONFIG_FILE), None)


def variable(section: str, name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{section}__{name}".upper()


def anchor(section: str, name: str) -> str:
    """Return the anchor of a setting in docs/settings.md."""
    return f"{section}-{name}".replace("_", "-")


def about(section: str, name: str, problem: str) -> str:
    """Return the line that tells of a problem with a setting: its variable, the problem, and its place in the docs."""
    return f"{variable(section, name)}: {problem} (docs/settings.md#{anchor(section, name)})"
