"""The folder for the outputs: where its ledger lies, and which folders cannot be one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cutstream.errors import InvalidOption
from producer.folders.sources import expand_user
from producer.folders.walking import MARK

_LEDGER_NAME = "ledger.db"
_STREAMS = "ledgers"


def ledger_in(out: Path) -> Path:
    """Return the place of the ledger of a folder for outputs."""
    return out / MARK / _LEDGER_NAME


def ledger_of_stream(state: Path, cluster: str) -> Path:
    """Return the place of the ledger of what was sent to a cluster of brokers from this machine."""
    return state / _STREAMS / f"{cluster}.db"


def known_ledgers(state: Path) -> list[Path]:
    """Return the ledgers of all clusters that photos were sent to from this machine."""
    return sorted((state / _STREAMS).glob("*.db"))


def check_folders(photos: Sequence[str], out: Path) -> None:
    """Raise InvalidOption if the outputs cannot go to this folder: it is a file, or holds the photos themselves."""
    if out.exists() and not out.is_dir():
        raise InvalidOption(f"{out} is a file: several photos need a folder for their outputs")
    for photo in photos:
        path = expand_user(photo)
        if os.path.isdir(path) and os.path.realpath(path) == os.path.realpath(out):
            raise InvalidOption(
                f"{out} holds the photos themselves: name another folder for the outputs, such as {out / 'cutouts'}"
            )
