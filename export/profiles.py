"""The committed models: the profiles and steps of `model_repository/`, and the graphs that git holds.

This module is the floor of `export`: every room reads names and sizes from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cutstream.errors import ConfigurationError
from cutstream.profiles import REPOSITORY, ensemble_name, known_profiles

GLUE_GRAPHS = Path(__file__).parent / "glue" / "onnx"


def config(step: str) -> str:
    """Return the committed `config.pbtxt` of a step or an ensemble."""
    return (REPOSITORY / step / "config.pbtxt").read_text()


def network_file(step: str) -> Path:
    """Return the path of a committed network. Other networks are joined from their weights at start-up."""
    return REPOSITORY / step / "1" / "model.onnx"


def glue_file(name: str) -> Path:
    """Return the path of a glue graph, which stands around a network or between networks."""
    return GLUE_GRAPHS / f"{name}.onnx"


def ensemble_of(profile: str) -> str:
    """Return the name of the profile's ensemble. Raise ConfigurationError for an unknown profile."""
    name = ensemble_name(profile)
    if not (REPOSITORY / name).is_dir():
        raise ConfigurationError(
            f"CUTSTREAM_MODELS__PROFILES: there is no profile {profile!r}; choose from {', '.join(known_profiles())}"
        )
    return name


def steps_of(ensemble: str) -> list[str]:
    return re.findall(r'model_name: "(\w+)"', config(ensemble))


def steps_in(profiles: Iterable[str]) -> list[str]:
    """Return the steps of the profiles in order, without duplicates."""
    return list(dict.fromkeys(step for profile in profiles for step in steps_of(ensemble_of(profile))))


def networks_of(profiles: Iterable[str]) -> list[str]:
    """Return the steps that a network of the catalogue fills. The other steps are glue between networks."""
    return [step for step in steps_in(profiles) if not glue_file(step).is_file()]


def size_of(step: str) -> tuple[int, int]:
    """Return the height and width of the step's first input, px."""
    match = re.search(r"dims: \[ (\d+), (\d+)", config(step))
    assert match, f"{step}/config.pbtxt states no size for its input"
    return int(match[1]), int(match[2])


def max_batch_of(step: str) -> int:
    match = re.search(r"max_batch_size: (\d+)", config(step))
    assert match, f"{step}/config.pbtxt has no max_batch_size"
    return int(match[1])
