"""Presets of the deployment's own: a folder of `<name>.toml` files, each with the parameters of one refinement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cutstream.contract.options import RefineParameters
from cutstream.contract.reading.validation import explain
from cutstream.contract.recipe import refinement_of
from cutstream.errors import ConfigurationError, InvalidOption
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement

MAX_NAME_LENGTH = 100  # of what `refine` can name


def read_presets(folder: Path | None) -> Mapping[str, Refinement]:
    """Return the built-in presets and those of the folder, by name.

    Raises ConfigurationError with a line for each problem.
    """
    if folder is None:
        return PRESETS
    own, problems = {}, []
    for path in _files(folder):
        try:
            own[path.stem] = _read(path)
        except ValueError as exc:
            problems.append(f"CUTSTREAM_MODELS__PRESETS: {path}: {exc} (docs/tuning.md#presets-of-your-own)")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return {**PRESETS, **own}


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as exc:
        raise ConfigurationError(
            f"CUTSTREAM_MODELS__PRESETS={folder} cannot be read: {exc.strerror}; it names a folder of <name>.toml "
            "files (docs/settings.md#models-presets)"
        ) from exc


def _read(path: Path) -> Refinement:
    """Read one preset. Raises ValueError with what is expected."""
    if path.stem in PRESETS:
        raise ValueError(f"`{path.stem}` is a built-in preset and cannot be redefined: give the file another name")
    if len(path.stem) > MAX_NAME_LENGTH:
        raise ValueError(f"a preset's name has at most {MAX_NAME_LENGTH} characters, this one has {len(path.stem)}")
    try:
        return refinement_of(msgspec.toml.decode(path.read_bytes(), type=RefineParameters))
    except msgspec.ValidationError as exc:
        raise ValueError(explain(exc, RefineParameters)) from exc
    except msgspec.DecodeError as exc:
        raise ValueError(f"not TOML: {exc}") from exc
    except InvalidOption as exc:
        raise ValueError(str(exc)) from exc
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}") from exc
