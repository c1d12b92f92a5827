"""AVIF cases. Pillow writes 8 bits and sequences, imagecodecs 10 and 12 bits; boxes are mended by hand.

Source of the boxes: ISO/IEC 14496-12 and 23008-12; of the code points: ITU-T H.273.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import LOSSY, Case, Tolerance, case, refused
from tests.support.pictures.colorimetry import bt709_encoded, encoded, hlg_encoded, pq_encoded, srgb_in
from tests.support.pictures.heif_boxes import crop_to, margined, with_property, without_margin
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.profiles import rgb_profile
from tests.support.pictures.truth import grey, matte, photo, to_depth

DEEP = (10, 12) if find_spec("imagecodecs") else ()  # there is none for Python 3.10
DAMAGED = "failed_to_read_image"
NEAR = Tolerance(8, 1.5)  # the best quality, full chroma, through YCbCr
COARSE = Tolerance(32, 4)  # the curves of HDR in the 8 bits that decoders give
SRGB_POINTS = struct.pack(">4sHHHB", b"nclx", 1, 13, 6, 0x80)


def avif(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = BytesIO()
    best = {"quality": 100, "subsampling": "4:4:4", "speed": 10, "max_threads": 1}
    Pillow.fromarray(pixels).save(buffer, "AVIF", **{**best, **options})
    return buffer.getvalue()


def _with_points(pixels: NDArray[np.uint8], primaries: int, transfer: int, matrix: int = 6) -> bytes:
    """Write pixels with other code points in the colour box than Pillow gives them."""
    file = avif(pixels)
    assert SRGB_POINTS in file
    return file.replace(SRGB_POINTS, struct.pack(">4sHHHB", b"nclx", primaries, transfer, matrix, 0x80))


def deep(samples: NDArray[Any], bits: int, **options: Any) -> bytes:
    import imagecodecs

    fixed = {"level": 100, "speed": 10, "bitspersample": bits, "pixelformat": "444", "numthreads": 1}
    return bytes(imagecodecs.avif_encode(samples.astype(np.uint16), **{**fixed, **options}))


def cases() -> Iterator[Case]:
    yield case("avif/444", partial(avif, photo()), photo(), tolerance=NEAR, reference=True)
    for subsampling in ("4:2:2", "4:2:0"):
        build = partial(avif, photo(), subsampling=subsampling)
        name = f"avif/{subsampling.replace(':', '')}"
        yield case(name, build, photo(), tolerance=LOSSY, reference=True)
    build = partial(avif, photo(), subsampling="4:0:0")
    yield case("avif/400", build, grey(), tolerance=NEAR)
    rgba = np.dstack([photo(), matte()])
    yield case("avif/alpha", partial(avif, rgba), photo(), matte(), tolerance=NEAR)
    build = partial(avif, rgba, alpha_premultiplied=True)
    yield case("avif/alpha-premultiplied", build, photo(), matte(), tolerance=NEAR, weighted=True)
    for side in ((1, 1), (1, 17), (17, 1)):
        small = photo(*side)
        yield case(f"avif/{side[0]}x{side[1]}", partial(avif, small), small, tolerance=NEAR)
    tiles = photo(256, 130)
    build = partial(avif, tiles, tile_rows=1, tile_cols=1)
    yield case("avif/tiles", build, tiles, tolerance=NEAR)
    for bits in DEEP:
        build = partial(deep, to_depth(photo(), bits), bits)
        yield case(f"avif/{bits}bit", build, photo(), tolerance=NEAR)
        build = partial(deep, to_depth(rgba, bits), bits)
        yield case(f"avif/{bits}bit-alpha", build, photo(), matte(), tolerance=NEAR)
        build = partial(deep, to_depth(photo(), bits), bits, pixelformat="420")
        yield case(f"avif/{bits}bit-420", build, photo(), tolerance=LOSSY)
    yield from _colours()
    yield from _described()
    yield from _several()
    yield from _structures()


def _colours() -> Iterator[Case]:
    p3 = srgb_in("p3", photo()).astype(np.uint8)
    p3_alpha = np.dstack([p3, matte()])
    yield case("avif/nclx-p3", partial(_with_points, p3, 12, 13), photo(), tolerance=NEAR)
    yield case("avif/nclx-p3-alpha", partial(_with_points, p3_alpha, 12, 13), photo(), matte(), tolerance=NEAR)
    for transfer, curve in {1: encoded, 13: encoded, 14: bt709_encoded, 15: bt709_encoded}.items():
        wide = srgb_in("bt2020", photo(), 255, curve).astype(np.uint8)
        build = partial(_with_points, wide, 9, transfer)
        yield case(f"avif/nclx-bt2020-curve-{transfer}", build, photo(), tolerance=Tolerance(16, 1.5))
    yield case("avif/nclx-unspecified", partial(_with_points, photo(), 2, 2), photo(), tolerance=NEAR)
    for bits in DEEP:
        build = partial(deep, srgb_in("p3", photo(), 2**bits - 1), bits, primaries=12, transfer=13, matrix=6)
        yield case(f"avif/nclx-p3-{bits}bit", build, photo(), tolerance=NEAR)
        yield from _deep_spaces(bits)
    power = srgb_in("p3", photo(), 255, lambda light: np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    yield case("avif/icc-p3", partial(avif, power, icc_profile=rgb_profile("p3")), photo(), tolerance=NEAR)
    build = partial(avif, photo(), icc_profile=b"no profile at all")
    yield case("avif/icc-garbage", build, photo(), tolerance=NEAR)


def _deep_spaces(bits: int) -> Iterator[Case]:
    truth = (photo() * 0.8).astype(np.uint8)  # no bright light
    spaces = {"p3": ("p3", encoded, 12, 13), "pq": ("bt2020", pq_encoded, 9, 16), "hlg": ("bt2020", hlg_encoded, 9, 18)}
    for name, (space, curve, primaries, transfer) in spaces.items():
        samples = srgb_in(space, truth, 2**bits - 1, curve)
        points = {"primaries": primaries, "transfer": transfer, "matrix": 6}
        for kind, whole, alpha in (
            ("", samples, None),
            ("-alpha", np.dstack([samples, to_depth(matte(), bits)]), matte()),
        ):
            build = partial(deep, whole, bits, **points)
            yield case(f"avif/dim-{name}-{bits}bit{kind}", build, truth, alpha, tolerance=COARSE)


def _described() -> Iterator[Case]:
    for orientation in range(1, 9):
        build = partial(avif, stored(photo(), orientation), exif=exif(orientation))
        yield case(f"avif/orientation-{orientation}", build, photo(), tolerance=NEAR)
        coded = stored(photo(), orientation)
        build = partial(_cropped, coded, exif=exif(orientation))
        yield case(f"avif/crop-orientation-{orientation}", build, photo(), tolerance=NEAR)
    coded = np.dstack([photo(), matte()])
    yield case("avif/crop-alpha", partial(_cropped, coded), photo(), matte(), tolerance=NEAR)
    turn = struct.pack(">I4sB", 9, b"irot", 1)
    mirror = struct.pack(">I4sB", 9, b"imir", 1)
    for name, order in {
        "turned-before-the-crop": (turn, crop_to(61, 43)),
        "mirrored-then-turned": (mirror, turn),
    }.items():
        build = partial(_with_properties, margined(photo()), *order)
        yield refused(f"avif/{name}", build, "invalid_file_type", "turned before it is cropped or mirrored")
    for name, box in {
        "beyond": crop_to(61 + 16, 43),
        "divided-by-0": crop_to(61, 43)[:12] + bytes(4) + crop_to(61, 43)[16:],
    }.items():
        yield refused(f"avif/crop-{name}", partial(_with_properties, margined(photo()), box), DAMAGED, "its crop")
    yield case("avif/xmp", partial(avif, photo(), xmp=b"<x" * 900), photo(), tolerance=NEAR)


def _cropped(samples: NDArray[np.uint8], **options: Any) -> bytes:
    return without_margin(avif(margined(samples), **options), samples)


def _with_properties(samples: NDArray[np.uint8], *properties: bytes) -> bytes:
    file = avif(samples)
    for box in properties:
        file = with_property(file, box, last=True)
    return file


def _several() -> Iterator[Case]:
    second = Pillow.fromarray(255 - photo())
    build = partial(avif, photo(), save_all=True, append_images=[second])
    yield case("avif/sequence", build, photo(), tolerance=NEAR, warnings=("first_of_several",))


def _structures() -> Iterator[Case]:
    file = avif(photo())
    yield case("avif/bytes-after-the-end", lambda: file + b"\0\0\0\x10free" + bytes(8), photo(), tolerance=NEAR)
    free = struct.pack(">I4s", 1_200_000, b"free") + bytes(1_200_000 - 8)
    yield case("avif/boxes-beyond-1-mb", partial(_inserted, file, free), photo(), tolerance=NEAR)
    extent = struct.pack(">II", 61, 43)
    for width, height in ((7000, 7000), (60, 43), (61, 44)):
        build = partial(file.replace, extent, struct.pack(">II", width, height))
        name = f"avif/states-{width}x{height}"
        yield refused(name, build, DAMAGED, "it holds a picture of 61×43, and states")
    alpha = avif(np.dstack([photo(), matte()]))
    build = partial(alpha.replace, extent, struct.pack(">II", 7000, 7000))
    yield refused("avif/states-7000x7000-alpha", build, DAMAGED, "it holds a picture")
    for percent in (50, 95, 99):
        yield refused(f"avif/cut-at-{percent}-percent", partial(_cut, file, percent), DAMAGED)


def _inserted(file: bytes, box: bytes) -> bytes:
    """Insert a box behind `ftyp` and move the absolute offset in `iloc` of a file of one item."""
    start = struct.unpack_from(">I", file)[0]
    at = file.index(b"mdat") + 4
    moved = file.replace(struct.pack(">I", at), struct.pack(">I", at + len(box)), 1)
    return moved[:start] + box + moved[start:]


def _cut(file: bytes, percent: int) -> bytes:
    return file[: len(file) * percent // 100]
