"""Small ICC profiles, generated: RGB by matrix, grey by gamma, CMYK by table. Source: ICC.1:2001-04."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from tests.support.pictures.colorimetry import D50, adapted_to_d50, from_ink, to_lab, to_xyz

GRID = 11  # points a side of the CMYK table


def rgb_profile(space: str, gamma: float = 2.2) -> bytes:
    """Return a matrix profile with the primaries of `space` and a power curve."""
    columns = adapted_to_d50(to_xyz(space)).T
    colorants = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    curves = {name: _curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", {**colorants, **curves})


def grey_profile(gamma: float = 1.8) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """Return a printer profile whose ink mixes as `from_ink` says."""
    steps = np.linspace(0, 255, GRID)
    ink = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), axis=-1)
    lab = to_lab(from_ink(ink)) + np.array([0, 128, 128])
    table = np.clip((lab * [652.8, 256, 256]).round(), 0, 65535).astype(">u2")
    identity = np.array([0, 65535], ">u2").tobytes()
    head = struct.pack(">4s4xBBBx9i", b"mft2", 4, 3, GRID, *(65536 * (k % 4 == 0) for k in range(9)))
    lut = head + struct.pack(">HH", 2, 2) + identity * 4 + table.tobytes() + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text_description(b"generated"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x02400000, kind, space, connection)
    header += struct.pack(">6H4s24x", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(4)
    header += struct.pack(">3i", *(round(65536 * value) for value in D50))
    return header.ljust(128, b"\0") + table + body


def _xyz(values: Any) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * float(value)) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _text_description(text: bytes) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(1 + 8 + 3 + 67)
