"""Write the best candidate as a preset: a file `<name>.toml` for the folder CUTSTREAM_MODELS__PRESETS."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from cutstream.contract.options import RefineParameters
from cutstream.errors import InvalidOption
from cutstream.matting.presets import PRESETS


def check_name(path: Path) -> None:
    """Raise InvalidOption, before the work begins, for a file name that a worker would refuse."""
    if path.suffix != ".toml":
        raise InvalidOption(f"--save {path}: a preset is a file <name>.toml, such as presets/shoes.toml")
    if path.stem in PRESETS:
        raise InvalidOption(f"--save {path}: `{path.stem}` is a built-in preset: choose another name")


def to_toml(parameters: RefineParameters, note: str) -> bytes:
    """Write the parameters that differ from the defaults, under the note as a comment."""
    # TOML writes numbers, booleans and plain strings as JSON does.
    lines = [f"# {line}" for line in note.splitlines()]
    lines += [f"{name} = {json.dumps(value)}" for name, value in msgspec.to_builtins(parameters).items()]
    return ("\n".join(lines) + "\n").encode()
