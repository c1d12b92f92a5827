"""What decoding takes: honest pictures of every format fit into their estimate, which the decoder process enforces."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any, get_args

import numpy as np
import pytest
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from consumer.resources.decoding.pool import DecoderPool
from cutstream.images.header import Format, Header, read_header
from cutstream.images.memory import decoder_bytes, most_decoder_bytes

WIDTH, HEIGHT = 4000, 3000
LIMIT = WIDTH * HEIGHT


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1, 60, max_bytes=60_000_000, max_pixels=LIMIT, on_restart=lambda: None)
    pool.start()
    yield pool
    pool.close()


def profile() -> bytes:
    """Return a profile that no decoder takes for sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = data.index(b"rXYZ")
    offset = int.from_bytes(data[at + 4 : at + 8], "big")
    data[offset + 8 : offset + 12] = (0x8000).to_bytes(4, "big")
    return bytes(data)


def picture(format: str, mode: str, **options: Any) -> bytes:
    """Return a picture that has a profile and lies on its side, so that decoding takes as many copies as there are."""
    side = np.arange(64 * 48, dtype=np.uint32).reshape(48, 64)
    small = Pillow.fromarray(np.dstack([side % 251, side % 241, side % 239]).astype(np.uint8))
    large = small.resize((WIDTH, HEIGHT), Pillow.Resampling.NEAREST).convert(mode)
    if mode == "RGBA":
        large.putalpha(90)
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    meta = {"exif": exif, "icc_profile": profile()} if mode.startswith("RGB") else {"exif": exif}
    file = BytesIO()
    large.save(file, format, **({} if format in ("GIF", "BMP", "JPEG2000") else meta), **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("PNG", "RGBA", {"compress_level": 1}),
        ("PNG", "RGB", {"compress_level": 1}),
        ("WEBP", "RGBA", {"quality": 50, "method": 0}),
        ("WEBP", "RGBA", {"lossless": True, "method": 0}),
        ("TIFF", "RGBA", {"compression": "tiff_deflate"}),
        ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
        ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
        ("JPEG2000", "L", {}),
    ],
)
def test_honest_pictures_fit_into_their_estimate(pool: DecoderPool, format: str, mode: str, options: Any) -> None:
    data = picture(format, mode, **options)
    image = pool.decode(data, read_header(data, LIMIT))
    assert image.height * image.width == LIMIT


@pytest.mark.parametrize("format", get_args(Format))
def test_the_estimate_is_bounded_and_grows_with_what_is_stored(format: Format) -> None:
    least = decoder_bytes(Header(format, 1000, 1000, channels=1), 1000)
    most = decoder_bytes(Header(format, 1000, 1000, bits=16, channels=5, progressive=True), 1000)
    assert 4_000_000 < least < most <= most_decoder_bytes(1_000_000, 1000)
