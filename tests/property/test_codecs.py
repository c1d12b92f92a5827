from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.errors import Poison
from cutstream.images import Image, Pixels
from cutstream.images.decode import decode
from cutstream.images.encode import encode
from cutstream.images.header import read_header
from tests.support.pictures.heic import heic

FORMATS = ("jpeg", "png", "webp", "avif", "tiff", "gif", "bmp", "jpeg2000")
PHOTO = Pillow.open(Path(skimage.__file__).parent / "data" / "coffee.png").convert("RGB").resize((45, 30))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(format: str, mode: str) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    PHOTO.convert(mode).save(buffer, format, exif=exif, icc_profile=SRGB, dpi=(300, 300))
    return buffer.getvalue()


def read(data: bytes) -> Image:
    return decode(data, read_header(data, 1_000_000))


FILES = [saved(name, "RGB") for name in FORMATS]
FILES += [saved("png", "P"), saved("png", "LA"), saved("tiff", "CMYK"), saved("jpeg", "CMYK"), saved("webp", "RGBA")]
FILES += [
    saved("tiff", "L"),
    saved("tiff", "RGBA"),
    saved("avif", "RGBA"),
    heic(np.asarray(PHOTO)),
    heic(np.asarray(PHOTO.convert("RGBA"))),
]


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.02, 1),
)
@settings(max_examples=300)
def test_damaged_bytes_give_an_image_or_a_named_error(
    file: bytes, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(file)
    for place, value in changes:
        data[int(place**2 * len(data))] = value  # more often near the front, where the structure is
    damaged = bytes(data[: max(1, int(kept * 2 * len(data)))])
    try:
        image = read(damaged)
    except Poison:
        return
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (image.height, image.width, 3)
    assert image.alpha is None or image.alpha.shape == image.pixels.shape[:2]


@pytest.mark.parametrize(
    "magic",
    [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF0000WEBP",
        b"II*\0",
        b"MM\0+",
        b"0000ftypavif",
        b"0000ftypheic",
        b"GIF89a",
        b"BM",
        b"\xff\x4f\xff\x51",
    ],
)
@given(tail=st.binary(max_size=200))
@settings(max_examples=50)
def test_any_bytes_behind_a_magic_give_a_named_error(magic: bytes, tail: bytes) -> None:
    with pytest.raises(Poison):
        read(magic + tail)


CHANNELS = st.sampled_from([(), (3,), (4,)])
SIDES = st.tuples(st.integers(1, 20), st.integers(1, 20))


@given(st.builds(lambda sides, channels: sides + channels, SIDES, CHANNELS).flatmap(lambda s: arrays(np.uint8, s)))
def test_png_loses_nothing(pixels: Pixels) -> None:
    data = encode(pixels, "png")
    assert np.array_equal(np.asarray(Pillow.open(BytesIO(data))), pixels)
    assert encode(pixels.copy(), "png") == data
