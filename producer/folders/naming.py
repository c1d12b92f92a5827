"""Where the outputs of a photo go: the photo's own folder and name, below the folder for outputs.

A photo's place is its *stem*, a path without an extension: outputs of `shoes/a.jpg` go to `shoes/a.png`. The extension
follows from the format of the output, which the result tells. No stem is absolute or leads out of the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count
from urllib.parse import unquote

from producer.folders.kinds import PHOTO_SUFFIXES, suffix_of

_MAX_STEM_BYTES = 200  # of the 255 of file systems: the rest is for " (jpeg) 12345" and ".background.webp"
_MAX_FOLDER_BYTES = 255
_WITH_USER = re.compile(r"[a-z0-9+.-]+://([^/?#]*@|[^/?#@:\[\]]*:[^/?#@]*[^/?#@0-9][^/?#]*/.*@)", re.IGNORECASE)
RESERVED = frozenset({"failed", "contact-sheet"})
"""Stems in the folder for outputs that its reports use."""


def stems(name: str, crowded: bool = False) -> Iterator[str]:
    """Yield the stems for a photo, the best first: endlessly, so that one of them is free.

    `name` is a relative path. If another photo has the same name but for the extension (`crowded`), or a better stem is
    taken, the photo's own extension becomes part of the name: `a (jpg)`.
    """
    folder, _, file = name.rpartition("/")
    suffix = suffix_of(file)
    is_photo = suffix in PHOTO_SUFFIXES
    own = file[: -len(suffix)] if is_photo else file
    long = f"{_short(own)} ({suffix[1:]})" if is_photo else _short(own)
    prefix = f"{folder}/" if folder else ""
    if not crowded and not (not folder and own in RESERVED):
        yield prefix + _short(own)
    if is_photo:
        yield prefix + long
    for number in count(2):
        yield f"{prefix}{long} {number}"


def output_name(stem: str, output: str, extension: str, is_only: bool) -> str:
    """Return the path of an output: `a.png` if it is the photo's only one, else `a.cutout.png`."""
    return f"{stem}.{extension}" if is_only else f"{stem}.{output}.{extension}"


def name_of_address(address: str) -> str:
    """Return a relative path for what an address names: its host or bucket, and its path.

    Its query is left out, and so are a user's name and password before the host: they may be secret.
    """
    scheme, _, rest = address.partition("://")
    if _WITH_USER.match(address):
        rest = rest.rpartition("@")[2]
    visible = rest.partition("?")[0].partition("#")[0] if scheme.lower().startswith("http") else rest
    parts = [unquote(part) if scheme.lower().startswith("http") else part for part in visible.split("/")]
    return safe_path(parts) or "photo"


def safe_path(parts: Sequence[str]) -> str:
    """Join parts of a path that others have chosen to a relative path that leads nowhere else."""
    cleaned = (_clean(part) for part in parts)
    return "/".join(part for part in cleaned if part not in ("", ".", ".."))


def _clean(part: str) -> str:
    text = "".join("_" if char == "/" or ord(char) < 32 or ord(char) == 127 else char for char in part)
    return _short(text, _MAX_FOLDER_BYTES)


def _short(text: str, limit: int = _MAX_STEM_BYTES) -> str:
    """Return a text that fits into a name of a file. A digest stands for what is cut off: names stay different."""
    encoded = os.fsencode(text)
    if len(encoded) <= limit:
        return text
    kept = encoded[: limit - 9]
    while kept and (encoded[len(kept)] & 0xC0) == 0x80:  # inside a character
        kept = kept[:-1]
    return f"{os.fsdecode(kept)}~{sha256(encoded).hexdigest()[:8]}"
