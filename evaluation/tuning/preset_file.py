"""The winner as a file that CUTSTREAM_MODELS__PRESETS takes: `<name>.toml`, its parameters."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from cutstream.contract.options import RefineParameters
from cutstream.errors import InvalidOption
from cutstream.matting.presets import PRESETS


def check_name(path: Path) -> None:
    """Before the work: raises InvalidOption for a file that no worker would take."""
    if path.suffix != ".toml":
        raise InvalidOption(f"--save {path}: a preset is a file <name>.toml, for instance presets/shoes.toml")
    if path.stem in PRESETS:
        raise InvalidOption(f"--save {path}: `{path.stem}` is a built-in preset; give yours another name")


def as_toml(how: RefineParameters, note: str) -> bytes:
    """What differs from the defaults; numbers, truth values and plain words are written in TOML as in JSON."""
    lines = [f"# {line}" for line in note.splitlines()]
    lines += [f"{name} = {json.dumps(value)}" for name, value in msgspec.to_builtins(how).items()]
    return ("\n".join(lines) + "\n").encode()
