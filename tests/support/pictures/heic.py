"""HEIC cases, written by pillow-heif (libheif with x265)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import Case, Tolerance, case, refused
from tests.support.pictures.colorimetry import encoded, hlg_encoded, pq_encoded, srgb_in
from tests.support.pictures.heif_boxes import margined, without_margin
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.truth import HEIGHT, WIDTH, grey, matte, photo, to_depth

DAMAGED = "failed_to_read_image"
NEAR = Tolerance(10, 1.5)
HALVED = Tolerance(128, 4)
BEST: dict[str, Any] = {"quality": 100, "chroma": 444, "enc_params": {"x265:pools": "none"}}


def heic(
    *pictures: NDArray[Any], mode: str | None = None, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any
) -> bytes:
    """Write pictures, the first one as primary. `mode` names the layout of samples deeper than 8 bits."""
    import pillow_heif

    file = pillow_heif.HeifFile()
    for samples in pictures:
        if mode is None:
            file.add_from_pillow(Pillow.fromarray(samples))
        else:
            file.add_frombytes(mode, size, samples.astype("<u2").tobytes())
    buffer = BytesIO()
    file.save(buffer, **{**BEST, **options})
    return buffer.getvalue()


def cases() -> Iterator[Case]:
    yield case("heic/444", partial(heic, photo()), photo(), tolerance=NEAR, reference=True)
    for chroma in (422, 420):
        yield case(f"heic/{chroma}", partial(heic, photo(), chroma=chroma), photo(), tolerance=HALVED, reference=True)
    yield case("heic/grey", partial(heic, grey()), grey(), tolerance=NEAR)
    deep = partial(heic, to_depth(grey(), 16), mode="I;16")
    yield case("heic/grey-10bit", deep, grey(), tolerance=NEAR)
    rgba = np.dstack([photo(), matte()])
    yield case("heic/alpha", partial(heic, rgba), photo(), matte(), tolerance=NEAR)
    deep = partial(heic, to_depth(photo(), 16), mode="RGB;16")
    yield case("heic/10bit", deep, photo(), tolerance=NEAR)
    deep = partial(heic, to_depth(rgba, 16), mode="RGBA;16")
    yield case("heic/10bit-alpha", deep, photo(), matte(), tolerance=NEAR)
    for orientation in range(1, 9):
        build = partial(heic, stored(photo(), orientation), exif=exif(orientation))
        yield case(f"heic/orientation-{orientation}", build, photo(), tolerance=NEAR)
        build = partial(_cropped, stored(photo(), orientation), exif=exif(orientation))
        yield case(f"heic/crop-orientation-{orientation}", build, photo(), tolerance=NEAR)
    yield case("heic/crop-alpha", partial(_cropped, rgba), photo(), matte(), tolerance=NEAR)
    p3 = srgb_in("p3", photo()).astype(np.uint8)
    build = partial(
        heic,
        p3,
        save_nclx_profile=True,
        color_primaries=12,
        transfer_characteristics=13,
        matrix_coefficients=6,
        full_range_flag=1,
    )
    yield case("heic/nclx-p3", build, photo(), tolerance=NEAR)
    yield from _deep_spaces()
    several = partial(heic, photo(), 255 - photo())
    yield case("heic/several", several, photo(), tolerance=NEAR, warnings=("first_of_several",))
    several = partial(heic, 255 - photo(), photo(), primary_index=1)
    yield case("heic/second-is-primary", several, photo(), tolerance=NEAR, warnings=("first_of_several",))
    file = heic(photo())
    yield case("heic/bytes-after-the-end", lambda: file + b"\0\0\0\x10free" + bytes(8), photo(), tolerance=NEAR)
    for percent in (50, 95, 99):
        yield refused(f"heic/cut-at-{percent}-percent", partial(_cut, file, percent), DAMAGED)


def _cropped(samples: NDArray[np.uint8], **options: Any) -> bytes:
    return without_margin(heic(margined(samples), **options), samples)


def _deep_spaces() -> Iterator[Case]:
    truth = (photo() * 0.8).astype(np.uint8)  # no bright light
    spaces = {"p3": ("p3", encoded, 12, 13), "pq": ("bt2020", pq_encoded, 9, 16), "hlg": ("bt2020", hlg_encoded, 9, 18)}
    for name, (space, curve, primaries, transfer) in spaces.items():
        samples = srgb_in(space, truth, 65535, curve)
        points = {
            "save_nclx_profile": True,
            "color_primaries": primaries,
            "transfer_characteristics": transfer,
            "matrix_coefficients": 6,
            "full_range_flag": 1,
        }
        build = partial(heic, samples, mode="RGB;16", **points)
        yield case(f"heic/dim-{name}-10bit", build, truth, tolerance=Tolerance(16, 2.5))
        build = partial(heic, np.dstack([samples, to_depth(matte(), 16)]), mode="RGBA;16", **points)
        yield case(f"heic/dim-{name}-10bit-alpha", build, truth, matte(), tolerance=Tolerance(16, 2.5))


def _cut(file: bytes, percent: int) -> bytes:
    return file[: len(file) * percent // 100]
