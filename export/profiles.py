"""Which ensemble serves a profile, and which networks are its steps: read from the committed configurations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cutstream.errors import ConfigurationError

REPOSITORY = Path(__file__).parent.parent / "model_repository"
PREFIX = "cutout_"


def config(model: str) -> str:
    return (REPOSITORY / model / "config.pbtxt").read_text()


def network_file(model: str) -> Path:
    """The graph of a network that is in git. Others are joined from their weights when they are served."""
    return REPOSITORY / model / "1" / "model.onnx"


def all_profiles() -> list[str]:
    return sorted(folder.name.removeprefix(PREFIX) for folder in REPOSITORY.glob(f"{PREFIX}*"))


def ensemble_of(profile: str) -> str:
    name = PREFIX + profile
    if not (REPOSITORY / name).is_dir():
        raise ConfigurationError(
            f"CUTSTREAM_MODELS__PROFILES: no profile is called {profile!r}; there are {', '.join(all_profiles())}"
        )
    return name


def steps_of(ensemble: str) -> list[str]:
    return re.findall(r'model_name: "(\w+)"', config(ensemble))


def networks_of(profiles: Iterable[str]) -> list[str]:
    """Each once, in the order of the profiles."""
    return list(dict.fromkeys(step for profile in profiles for step in steps_of(ensemble_of(profile))))
