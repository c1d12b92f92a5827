"""Write real photos with Pillow, read them with the product, and compare."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as Pillow

from cutstream.images import Image, Pixels
from cutstream.images.decode import decode
from cutstream.images.header import read_header

MAX_PIXELS = 50_000_000


def saved(picture: Pillow.Image | Pixels, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image:
    return decode(data, read_header(data, MAX_PIXELS))


def difference(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def rgb_profile(primaries: dict[str, tuple[float, float]], gamma: float) -> bytes:
    """A matrix profile (ICC.1:2001) with D65 primaries adapted to D50 by Bradford."""
    d65, d50 = np.array([0.95047, 1, 1.08883]), np.array([0.96422, 1, 0.82521])
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries.values()]).T
    to_xyz = xyz * np.linalg.solve(xyz, d65)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ d65)) @ bradford

    def fixed(values: Any) -> bytes:
        return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    text += bytes(-len(text) % 4)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none", b"wtpt": b"XYZ \0\0\0\0" + fixed(d50)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), (adapt @ to_xyz).T, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + fixed(column)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    header = struct.pack(">I4xI", at + len(body), 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    return (header + fixed(d50)).ljust(128, b"\0") + table + body


ADOBE_RGB_PRIMARIES = {"r": (0.64, 0.33), "g": (0.21, 0.71), "b": (0.15, 0.06)}
ADOBE_RGB = rgb_profile(ADOBE_RGB_PRIMARIES, 563 / 256)
