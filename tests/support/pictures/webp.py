"""WebP cases. Source of the container: RFC 9649."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import CONVERTED, LOSSY, Case, case, refused
from tests.support.pictures.colorimetry import srgb_in
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.profiles import rgb_profile
from tests.support.pictures.truth import matte, photo

DAMAGED = "failed_to_read_image"


def webp(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", **{"method": 0, "exact": True, **options})
    return buffer.getvalue()


def rgba(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([pixels, matte()])


def cases() -> Iterator[Case]:
    lossy = {"quality": 95}
    yield case("webp/lossy", partial(webp, photo(), **lossy), photo(), tolerance=LOSSY, reference=True)
    yield case("webp/lossless", partial(webp, photo(), lossless=True), photo())
    yield case("webp/lossless-alpha", partial(webp, rgba(photo()), lossless=True), photo(), matte())
    build = partial(webp, rgba(photo()), quality=95, alpha_quality=100)
    yield case("webp/lossy-alpha", build, photo(), matte(), tolerance=LOSSY, reference=True)
    opaque = np.dstack([photo(), np.full_like(matte(), 255)])
    yield case("webp/lossless-alpha-opaque", partial(webp, opaque, lossless=True), photo())
    for side in ((1, 1), (1, 17), (17, 1)):
        small = photo(*side)
        yield case(f"webp/lossless-{side[0]}x{side[1]}", partial(webp, small, lossless=True), small)
    yield from _described()
    yield from _animated()
    yield from _structures()


def _described() -> Iterator[Case]:
    for orientation in range(1, 9):
        turned = partial(webp, stored(photo(), orientation), lossless=True, exif=exif(orientation))
        yield case(f"webp/orientation-{orientation}", turned, photo())
    p3 = srgb_in("p3", photo(), 255, lambda light: np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    build = partial(webp, p3, lossless=True, icc_profile=rgb_profile("p3"))
    yield case("webp/icc-p3", build, photo(), tolerance=CONVERTED)
    build = partial(webp, rgba(p3), lossless=True, icc_profile=rgb_profile("p3"))
    yield case("webp/icc-p3-alpha", build, photo(), matte(), tolerance=CONVERTED)
    for name, options in {
        "icc-garbage": {"icc_profile": b"no profile at all"},
        "exif-garbage": {"exif": b"MM\0*\xff\xff\xff\xff"},
        "exif-text": {"exif": b"this is no EXIF"},
        "exif-with-prefix": {"exif": b"Exif\0\0" + exif(1)},
        "exif-short": {"exif": b"II"},
        "xmp-garbage": {"xmp": b"<x" * 90_000},
    }.items():
        yield case(f"webp/{name}", partial(webp, photo(), lossless=True, **options), photo())


def _animated() -> Iterator[Case]:
    frames = {"save_all": True, "append_images": [Pillow.fromarray(255 - photo())], "lossless": True}
    build = partial(webp, photo(), **frames)
    yield case("webp/animated", build, photo(), warnings=("first_of_several",))
    second = Pillow.fromarray(np.dstack([255 - photo(), matte()]))
    build = partial(webp, rgba(photo()), save_all=True, append_images=[second], lossless=True)
    yield case("webp/animated-alpha", build, photo(), matte(), weighted=True, warnings=("first_of_several",))
    yield case("webp/animated-of-one-frame", _animation_of_one, photo(), warnings=())


def _animation_of_one() -> bytes:
    """Put a lossless picture into the only frame of an animation that is larger on two sides by nothing."""
    height, width = photo().shape[:2]
    still = webp(photo(), lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = _chunk(b"VP8X", b"\x02\0\0\0" + size) + _chunk(b"ANIM", bytes(6))
    body += _chunk(b"ANMF", bytes(6) + size + (100).to_bytes(3, "little") + b"\x02" + still)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _structures() -> Iterator[Case]:
    lossless, lossy = webp(photo(), lossless=True), webp(photo(), quality=95)
    yield case("webp/bytes-after-the-end", lambda: lossless + b"trailing" * 30, photo())
    for name, file in {"lossless": lossless, "lossy": lossy}.items():
        yield refused(f"webp/{name}-cut-in-half", partial(_cut, file, 50), DAMAGED)
        yield refused(f"webp/{name}-cut-at-95-percent", partial(_cut, file, 95), DAMAGED)
        yield refused(f"webp/{name}-cut-with-lengths-mended", partial(_mended, file, 80), DAMAGED)
    described = webp(rgba(photo()), quality=95, exif=exif(1))
    colours, alpha = described.index(b"VP8 "), described.index(b"ALPH")
    inside = colours + 200
    yield refused("webp/byte-missing-inside", lambda: described[:inside] + described[inside + 1 :], DAMAGED)
    late = described[:alpha] + described[colours : described.index(b"EXIF")] + described[alpha:colours]
    yield refused("webp/transparency-behind-colours", lambda: late + described[len(late) :], DAMAGED)
    for left in (3, 12):
        build = partial(bytes.__getitem__, described, slice(described.index(b"EXIF") + left))
        warns = ("damaged_data",)
        yield case(f"webp/exif-cut-after-{left}", build, photo(), matte(), tolerance=LOSSY, warnings=warns)
    yield refused("webp/no-image-chunk", lambda: b"RIFF\x04\0\0\0WEBP", DAMAGED)


def _cut(file: bytes, percent: int) -> bytes:
    return file[: len(file) * percent // 100]


def _mended(file: bytes, percent: int) -> bytes:
    """Cut the only chunk of a file and make both lengths agree with what is left."""
    body = _cut(file, percent)[20:]
    body = body[: len(body) // 2 * 2]
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + file[12:16] + struct.pack("<I", len(body)) + body
