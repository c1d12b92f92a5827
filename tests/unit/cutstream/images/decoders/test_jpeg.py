"""What libjpeg only warns of: harmless oddities are mended, and missing pixels are found behind them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.jpeg import JFIF, adobe, plain
from tests.support.pictures.jpeg_writer import segment
from tests.support.pictures.truth import photo

SCAN_PARAMETERS = b"\0\x3f\0"


def opened(data: bytes) -> Image:
    return decode(data, read_header(data, 1_000_000))


def with_wrong_scan_parameters(file: bytes) -> bytes:
    at = file.index(b"\xff\xda")
    end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    assert file[end - 3 : end] == SCAN_PARAMETERS
    return file[: end - 3] + b"\1\x10\x22" + file[end:]


WHOLE = plain()
ODDITIES = {
    "JFIF of revision 3": plain(segments=JFIF.replace(b"JFIF\0\1", b"JFIF\0\3")),
    "Adobe's transform 7": plain(segments=adobe(7)),
    "bytes between segments": plain(segments=JFIF + b"\0\0garbage" + segment(0xFE, b"comment")),
    "fill bytes": plain(segments=JFIF + b"\xff" * 1000 + segment(0xFE, b"comment")),
    "ICC parts that count wrong": plain(segments=JFIF + segment(0xE2, b"ICC_PROFILE\0\3\1half")),
    "impossible scan parameters": with_wrong_scan_parameters(WHOLE),
    "bytes behind the end": WHOLE + b"behind the end" * 50,
    "bytes before the end": WHOLE[:-2] + bytes(30) + b"\xff\xd9",
}


@pytest.mark.parametrize("file", ODDITIES.values(), ids=ODDITIES)
def test_an_oddity_costs_nothing(file: bytes) -> None:
    assert np.array_equal(opened(file).pixels, opened(WHOLE).pixels)


@pytest.mark.parametrize("file", ODDITIES.values(), ids=ODDITIES)
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_no_oddity_hides_that_half_the_picture_is_missing(file: bytes, end: bytes) -> None:
    begin = file.index(b"\xff\xda") + 14
    with pytest.raises(UnreadableImage, match="truncated or damaged"):
        opened(file[: (begin + file.rindex(b"\xff\xd9")) // 2] + end)


@pytest.mark.parametrize("height", [8, 16, 17, 24, 40])
@pytest.mark.parametrize("options", [{}, {"subsampling": 2}, {"progressive": True}], ids=str)
def test_rows_that_are_missing_at_the_very_end_are_found(height: int, options: dict[str, object]) -> None:
    """libvips looks for warnings before it reads rows: it never sees that of the last ones."""
    noise = np.random.default_rng(0).integers(0, 256, (height, 64, 3), dtype=np.uint8)
    buffer = BytesIO()
    Pillow.fromarray(noise).save(buffer, "JPEG", quality=95, **options)
    file = buffer.getvalue()
    assert opened(file).pixels.shape == noise.shape
    with pytest.raises(UnreadableImage):
        opened(file[:-12] + b"\xff\xd9")


def test_the_picture_does_not_depend_on_what_describes_it() -> None:
    described = JFIF + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>") + segment(0xED, b"Photoshop 3.0\0") * 50
    assert np.array_equal(opened(plain(segments=described)).pixels, opened(WHOLE).pixels)
    assert np.abs(opened(WHOLE).pixels.astype(int) - photo()).max() <= 4


@pytest.mark.parametrize("frame", [0xC9, 0xCA])
def test_arithmetic_codes_are_refused_because_nobody_sees_what_they_lack(frame: int) -> None:
    with pytest.raises(UnsupportedImage, match="arithmetic"):
        opened(WHOLE.replace(b"\xff\xc0", bytes([0xFF, frame])))
