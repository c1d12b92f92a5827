"""Add properties to HEIF files (AVIF, HEIC) of an encoder. Source: ISO/IEC 14496-12 and 23008-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

TURNS = (b"irot", b"imir")
Margin: TypeAlias = tuple[int, int, int, int]  # pixels that are coded beside the picture: left, right, top, bottom
MARGIN: Margin = (6, 9, 4, 7)


def margined(samples: NDArray[Any], margin: Margin = MARGIN) -> NDArray[Any]:
    """Return H×W×C samples with further ones around them, which a crop is to leave out."""
    left, right, top, bottom = margin
    return np.pad(samples, ((top, bottom), (left, right), (0, 0)), "wrap")


def crop_to(width: int, height: int, coded: tuple[int, int] | None = None, margin: Margin = MARGIN) -> bytes:
    """Return the `clap` box that leaves of `margined` samples the picture of this size, without the margin.

    Its offsets count from the centre of the coded picture, which may be larger on the right and below.
    """
    left, right, top, bottom = margin
    coded_w, coded_h = coded or (left + width + right, top + height + bottom)
    x, y = 2 * left - (coded_w - width), 2 * top - (coded_h - height)
    return struct.pack(">I4s", 40, b"clap") + struct.pack(">IIIIiIiI", width, 1, height, 1, x, 2, y, 2)


def without_margin(file: bytes, samples: NDArray[Any], margin: Margin = MARGIN) -> bytes:
    """Crop a file of `margined(samples)` to these. HEVC is coded in whole blocks, and encoders crop those too."""
    at = file.index(b"ispe") + 8
    box = crop_to(samples.shape[1], samples.shape[0], struct.unpack_from(">II", file, at), margin)
    own = file.find(b"clap") - 4
    return with_property(file, box) if own < 0 else file[:own] + box + file[own + 40 :]


def with_property(file: bytes, box: bytes, *, last: bool = False) -> bytes:
    """Give every item of a file one more property: before it is turned or mirrored, or `last` of all."""
    meta, start, end = next(each for each in _boxes(file, 0, len(file)) if each[0] == b"meta")
    parts = {kind: file[a:b] for kind, a, b in _boxes(file, start + 12, end)}
    inner = {kind: parts[b"iprp"][a:b] for kind, a, b in _boxes(parts[b"iprp"], 8, len(parts[b"iprp"]))}
    kinds = [kind for kind, _, _ in _boxes(inner[b"ipco"], 8, len(inner[b"ipco"]))]
    inner[b"ipco"] = _sized(b"ipco", inner[b"ipco"][8:] + box)
    inner[b"ipma"] = _associated(inner[b"ipma"], kinds, last)
    parts[b"iprp"] = _sized(b"iprp", b"".join(inner.values()))
    grown = sum(map(len, parts.values())) - (end - start - 12)
    parts[b"iloc"] = _moved(parts[b"iloc"], grown)
    return file[:start] + _sized(meta, file[start + 8 : start + 12] + b"".join(parts.values())) + file[end:]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, start + (size or end - start)
        start += size or end - start


def _sized(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _associated(ipma: bytes, kinds: list[bytes], last: bool) -> bytes:
    """Add the property behind `kinds` to each item. Version 0 with indices of 7 bits, as the encoders write it."""
    assert ipma[8:12] == bytes(4)
    (count,) = struct.unpack_from(">I", ipma, 12)
    at, body = 16, bytearray(ipma[8:16])
    for _ in range(count):
        item, number = ipma[at : at + 2], ipma[at + 2]
        own = list(ipma[at + 3 : at + 3 + number])
        turns = [place for place, index in enumerate(own) if kinds[(index & 0x7F) - 1] in TURNS]
        own.insert(len(own) if last or not turns else turns[0], 0x80 | len(kinds) + 1)
        body += item + bytes([len(own), *own])
        at += 3 + number
    return _sized(b"ipma", bytes(body))


def _moved(iloc: bytes, by: int) -> bytes:
    """Move the offsets of an `iloc` box that count from the beginning of the file."""
    version, sizes, moved = iloc[8], struct.unpack_from(">H", iloc, 12)[0], bytearray(iloc)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    assert version in (0, 1)
    at = 16
    for _ in range(struct.unpack_from(">H", iloc, 14)[0]):
        in_file = version == 0 or iloc[at + 3] & 15 == 0
        at += 4 if version == 0 else 6
        base = at
        at += base_bytes
        extents = struct.unpack_from(">H", iloc, at)[0]
        at += 2
        for _ in range(extents):
            place, size = (base, base_bytes) if base_bytes else (at, offset_bytes)
            if in_file and (size == offset_bytes or extents == 1):
                value = int.from_bytes(iloc[place : place + size], "big") + by
                moved[place : place + size] = value.to_bytes(size, "big")
            at += offset_bytes + length_bytes
    return bytes(moved)
