"""Which ensemble serves a profile, and what its steps are: read from the committed configurations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cutstream.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2] / "model_repository"
GRAPHS = Path(__file__).parents[1] / "glue" / "onnx"
PREFIX = "cutout_"


def config(model: str) -> str:
    return (REPOSITORY / model / "config.pbtxt").read_text()


def network_file(model: str) -> Path:
    """The graph of a network that is in git. Others are joined from their weights when they are served."""
    return REPOSITORY / model / "1" / "model.onnx"


def glue_file(name: str) -> Path:
    """The graph of a step around a net or between nets (`export/glue/`)."""
    return GRAPHS / f"{name}.onnx"


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


def steps_in(profiles: Iterable[str]) -> list[str]:
    """Each once, in the order of the profiles."""
    return list(dict.fromkeys(step for profile in profiles for step in steps_of(ensemble_of(profile))))


def networks_of(profiles: Iterable[str]) -> list[str]:
    """The steps that are nets of the catalogue, not glue between them."""
    return [step for step in steps_in(profiles) if not glue_file(step).is_file()]


def size_of(model: str) -> tuple[int, int]:
    """Height and width of what goes in."""
    found = re.search(r"dims: \[ (\d+), (\d+)", config(model))
    assert found, f"{model}/config.pbtxt gives its input no size"
    return int(found[1]), int(found[2])


def max_batch_of(model: str) -> int:
    found = re.search(r"max_batch_size: (\d+)", config(model))
    assert found, f"{model}/config.pbtxt has no max_batch_size"
    return int(found[1])
