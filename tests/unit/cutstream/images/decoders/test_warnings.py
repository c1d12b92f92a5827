"""What a file says about its picture never costs the picture, and each kind of damage has its warning."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.jpeg import JFIF, plain
from tests.support.pictures.jpeg_writer import segment
from tests.support.pictures.png import RGB, built, chunk
from tests.support.pictures.profiles import grey_profile, rgb_profile
from tests.support.pictures.tiff_writer import Page, write_tiff
from tests.support.pictures.truth import photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ASCII, SHORT, RATIONAL = 2, 3, 5


def opened(data: bytes) -> Image:
    return decode(data, read_header(data, 1_000_000))


def codes(image: Image) -> list[str]:
    return [warning.code for warning in image.warnings]


def exif_with(tag: int, kind: int, count: int, value: bytes, tail: bytes = b"") -> bytes:
    """EXIF of one entry; `tail` lies at byte 26."""
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", tag, kind, count, value) + bytes(4) + tail


def jpeg_with(exif: bytes) -> bytes:
    return plain(segments=JFIF + segment(0xE1, b"Exif\0\0" + exif))


def webp_with(exif: bytes) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(photo()).save(buffer, "webp", lossless=True, exif=b"Exif\0\0" + exif)
    return buffer.getvalue()


def png_with(exif: bytes) -> bytes:
    return built(photo(), 8, RGB, chunks=[(b"eXIf", exif)])()


DAMAGED_EXIF = {
    "two bytes": b"II",
    "no byte order": b"XX*\0\x08\0\0\0\x01\0",
    "directory beyond the end": b"II*\0\xff\xff\0\0",
    "more entries than bytes": exif_with(ExifTags.Base.Make, ASCII, 4, b"abc\0")[:8] + b"\xff\xff",
    "orientation 9": exif_with(ExifTags.Base.Orientation, SHORT, 1, b"\x09\0\0\0"),
    "orientation of text": exif_with(ExifTags.Base.Orientation, ASCII, 4, b"six\0"),
    "orientation beyond the end": exif_with(ExifTags.Base.Orientation, SHORT, 100, b"\xff\xff\0\0"),
}


@pytest.mark.parametrize("exif", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF)
@pytest.mark.parametrize("build", [jpeg_with, png_with, webp_with])
def test_damaged_exif_means_upright_and_a_warning(build: Any, exif: bytes) -> None:
    image = opened(build(exif))
    assert np.abs(image.pixels.astype(int) - photo()).max() <= 4
    assert codes(image) == ["unusable_metadata"]


def test_an_orientation_before_the_damage_is_used() -> None:
    exif = bytearray(exif_with(ExifTags.Base.Orientation, SHORT, 1, b"\x06\0\0\0")[:22])
    exif[8] = 2  # and the second entry is missing
    image = opened(png_with(bytes(exif)))
    assert np.array_equal(image.pixels, np.rot90(photo(), -1))
    assert codes(image) == ["unusable_metadata"]


@pytest.mark.parametrize("orientation", [0, 1])
def test_an_unknown_orientation_is_no_damage(orientation: int) -> None:
    exif = exif_with(ExifTags.Base.Orientation, SHORT, 1, struct.pack("<HH", orientation, 0))
    assert codes(opened(jpeg_with(exif))) == []


def tiff_with(tags: dict[int, tuple[int, Any]]) -> bytes:
    return write_tiff([Page(photo(), tags=tags)])


RESOLUTIONS = {
    "png 4e9": built(photo(), 8, RGB, chunks=[(b"pHYs", struct.pack(">IIB", 2**32 - 1, 2**32 - 1, 1))]),
    "png short": built(photo(), 8, RGB, chunks=[(b"pHYs", b"\0\0")]),
    "jpeg zero across": lambda: plain(segments=segment(0xE0, b"JFIF\0\1\2\1\0\0\0\1\0\0")),
    "tiff text": lambda: tiff_with({282: (ASCII, b"300\0"), 283: (ASCII, b"300\0")}),
    "exif zero denominator": lambda: _exif_resolution(300, 0),
    "exif 70,000": lambda: _exif_resolution(70_000, 1),
}


def _exif_resolution(above: int, below: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, RATIONAL, 1, 38) for tag in (282, 283))
    exif = b"II*\0\x08\0\0\0\x02\0" + entries + bytes(4) + struct.pack("<II", above, below)
    return plain(segments=segment(0xE1, b"Exif\0\0" + exif))


@pytest.mark.parametrize("build", RESOLUTIONS.values(), ids=RESOLUTIONS)
def test_an_impossible_resolution_is_ignored(build: Any) -> None:
    image = opened(build())
    assert image.dpi is None
    assert codes(image) == ["unusable_metadata"]


UNKNOWN = {
    "png": built(photo(), 8, RGB, chunks=[(b"pHYs", struct.pack(">IIB", 0, 0, 1))]),
    "jpeg": lambda: plain(segments=segment(0xE0, b"JFIF\0\1\2\1\0\0\0\0\0\0")),
    "exif 0/0": lambda: _exif_resolution(0, 0),
    "exif 0/1": lambda: _exif_resolution(0, 1),
}


@pytest.mark.parametrize("build", UNKNOWN.values(), ids=UNKNOWN)
def test_zero_stands_for_an_unknown_resolution(build: Any) -> None:
    image = opened(build())
    assert (image.dpi, codes(image)) == (None, [])


def test_centimetres_become_inches() -> None:
    jpeg = opened(plain(segments=segment(0xE0, b"JFIF\0\1\2\2" + struct.pack(">HHBB", 100, 200, 0, 0))))
    assert jpeg.dpi == pytest.approx((254, 508))
    png = opened(built(photo(), 8, RGB, chunks=[(b"pHYs", struct.pack(">IIB", 10_000, 20_000, 1))])())
    assert png.dpi == pytest.approx((254, 508))
    assert codes(jpeg) == codes(png) == []


def test_an_aspect_ratio_is_no_resolution() -> None:
    image = opened(built(photo(), 8, RGB, chunks=[(b"pHYs", struct.pack(">IIB", 4, 3, 0))])())
    assert (image.dpi, codes(image)) == (None, [])


def test_the_resolution_turns_with_the_picture() -> None:
    exif = exif_with(ExifTags.Base.Orientation, SHORT, 1, b"\x06\0\0\0")
    density = segment(0xE0, b"JFIF\0\1\2\1" + struct.pack(">HHBB", 100, 200, 0, 0))
    assert opened(plain(segments=density + segment(0xE1, b"Exif\0\0" + exif))).dpi == (200, 100)


PROFILES = {"garbage": b"no profile", "cut": SRGB[:200], "of grey": grey_profile(), "too large": bytes(1 << 24) + b"1"}


@pytest.mark.parametrize("icc", PROFILES.values(), ids=PROFILES)
def test_a_profile_that_cannot_be_used_is_named_and_dropped(icc: bytes) -> None:
    packed = b"name\0\0" + zlib.compress(icc)
    image = opened(built(photo(), 8, RGB, chunks=[(b"iCCP", packed)])())
    assert np.array_equal(image.pixels, photo())
    assert (image.icc, codes(image)) == (None, ["unusable_profile"])


@pytest.mark.parametrize(
    "body", [b"", b"name", b"name\0\0not deflated", b"name\0\0" + zlib.compress(SRGB)[:-9]], ids=range(4)
)
def test_a_profile_of_a_png_that_does_not_unpack_is_named(body: bytes) -> None:
    image = opened(built(photo(), 8, RGB, chunks=[(b"iCCP", body)])())
    assert np.array_equal(image.pixels, photo())
    assert codes(image) == ["unusable_profile"]


def test_a_profile_of_a_jpeg_2000_is_used() -> None:
    icc = rgb_profile("p3")
    buffer = BytesIO()
    Pillow.fromarray(photo()).save(buffer, "jpeg2000")
    plain_file = buffer.getvalue()
    colours = struct.pack(">I", 15) + b"colr\1\0\0" + struct.pack(">I", 16)
    assert colours in plain_file
    other = struct.pack(">I", 11 + len(icc)) + b"colr\2\0\0" + icc
    at = plain_file.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", plain_file, at)
    file = plain_file.replace(colours, other)
    file = file[:at] + struct.pack(">I", size + len(other) - len(colours)) + file[at + 4 :]
    image = opened(file)
    assert image.icc == icc
    assert np.array_equal(
        opened(built(photo(), 8, RGB, chunks=[(b"iCCP", b"p3\0\0" + zlib.compress(icc))])()).pixels, image.pixels
    )
    assert not np.array_equal(image.pixels, photo())


def test_a_missing_end_is_named() -> None:
    jpeg = plain()
    assert codes(opened(jpeg[:-2])) == codes(opened(jpeg[:-1])) == ["damaged_data"]
    png = built(photo(), 8, RGB)()
    assert codes(opened(png[:-12])) == ["damaged_data"]
    assert codes(opened(png)) == codes(opened(jpeg)) == []


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_a_wrong_checksum_is_damage_where_pixels_come_from(kind: bytes) -> None:
    png = bytearray(built(photo(), 8, RGB)())
    at = png.index(kind)
    (length,) = struct.unpack_from(">I", png, at - 4)
    png[at + 4 + length] ^= 1
    with pytest.raises(UnreadableImage, match="the png is truncated or damaged"):
        opened(bytes(png))


def test_a_wrong_checksum_of_a_text_is_not() -> None:
    text = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    png = built(photo(), 8, RGB)()
    image = opened(png[:33] + bytes(text) * 100 + png[33:])
    assert np.array_equal(image.pixels, photo())
    assert codes(image) == []


def test_damaged_exif_costs_no_avif() -> None:
    """Pillow and libavif read EXIF for its orientation, which `irot` and `imir` overrule anyway."""
    exif = Pillow.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    buffer = BytesIO()
    Pillow.fromarray(photo()).save(buffer, "avif", exif=exif, quality=100)
    file = buffer.getvalue()
    damaged = file.replace(b"MM\0*", b"XX\0*").replace(b"II*\0", b"XX*\0")
    assert damaged != file
    with pytest.raises(ValueError, match="Invalid Exif payload"):
        Pillow.open(BytesIO(damaged)).load()
    assert np.array_equal(opened(damaged).pixels, opened(file).pixels)
