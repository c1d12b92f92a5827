from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage
from cutstream.images.header import Header, read_header
from tests.support.pictures.truth import matte, photo

MAX_PIXELS = 50_000_000


def saved(picture: Pillow.Image, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


OPAQUE = Pillow.fromarray(photo())
TRANSPARENT = Pillow.fromarray(np.dstack([photo(), matte()]))


@pytest.mark.parametrize("lossless", [True, False])
def test_alpha(lossless: bool) -> None:
    assert read(saved(OPAQUE, lossless=lossless)).channels == 3
    assert read(saved(TRANSPARENT, lossless=lossless)).channels == 4


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}])
def test_sizes_of_all_layouts(options: dict[str, object]) -> None:
    header = read(saved(OPAQUE, **options))
    assert (header.width, header.height, header.pictures) == (*OPAQUE.size, 1)


def test_frames() -> None:
    others = [OPAQUE.rotate(90 * turn) for turn in (1, 2, 3)]
    assert read(saved(OPAQUE, save_all=True, append_images=others)).pictures == 4


def test_an_animation_cut_short_is_still_an_animation() -> None:
    data = saved(OPAQUE, save_all=True, append_images=[OPAQUE.rotate(90), OPAQUE.rotate(180)])
    assert read(data[: len(data) // 2]).pictures >= 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF\x10\0\0\0WEBPABCD" + bytes(20), "no image chunk"),
        (b"RIFF\x10\0\0\0WEBPVP8L" + bytes(20), "no lossless signature"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20), "no key frame"),
    ],
)
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read(data)
