"""Real photos in every variant that users send, against the same photo decoded the plain way."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images import Pixels
from cutstream.images.decode import decode
from cutstream.images.header import Header
from cutstream.images.orientation import UPRIGHT
from tests.support.image_files import difference, opened, saved

FORMATS = ("jpeg", "png", "webp", "avif", "tiff")


@pytest.mark.parametrize("format", FORMATS)
def test_plain_photos(photo: Pixels, format: str) -> None:
    image = opened(saved(photo, format, quality=100))
    assert image.format == format
    assert image.alpha is None
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert np.abs(image.pixels.astype(int) - photo).mean() < (0.01 if format in ("png", "tiff") else 3)


def test_channels_come_in_rgb_order() -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    assert opened(saved(red, "PNG")).pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(photo: Pixels, format: str, orientation: int) -> None:
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = Pillow.fromarray(photo) if undo == 1 else Pillow.fromarray(photo).transpose(UPRIGHT[undo])
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = opened(saved(stored, format, exif=exif.tobytes() if format != "tiff" else exif, quality=100))
    assert (image.width, image.height) == (151, 101)
    assert np.abs(image.pixels.astype(int) - photo).mean() < 3


def test_orientation_turns_the_alpha_too(photo: Pixels, matte: Pixels) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = opened(saved(np.dstack([photo, matte]), "PNG", exif=exif))
    assert image.alpha is not None
    assert difference(image.alpha, np.rot90(matte, -1)) == 0


def test_grey(photo: Pixels) -> None:
    grey = photo[..., 1].copy()
    image = opened(saved(grey, "JPEG", quality=100))
    assert difference(image.pixels, np.repeat(grey[..., None], 3, axis=2)) <= 2


def test_bilevel(photo: Pixels) -> None:
    bilevel = Pillow.fromarray(photo).convert("1")
    image = opened(saved(bilevel, "TIFF"))
    assert difference(image.pixels[..., 0], np.asarray(bilevel.convert("L"))) == 0


def test_cmyk_of_a_tiff_and_of_an_adobe_jpeg_agree_with_rgb(photo: Pixels) -> None:
    cmyk = Pillow.fromarray(photo).convert("CMYK")
    assert difference(opened(saved(cmyk, "TIFF")).pixels, photo) <= 1
    adobe = saved(cmyk, "JPEG", quality=100)
    assert b"Adobe" in adobe
    assert np.abs(opened(adobe).pixels.astype(int) - photo).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_scale_to_eight(photo: Pixels, matte: Pixels, suffix: str, channels: int) -> None:
    eight = {1: photo[..., :1], 3: photo, 4: np.dstack([photo, matte])}[channels]
    low_bytes = np.random.default_rng(1).integers(0, 256, eight.shape)
    sixteen = (eight.astype(np.uint16) << 8) + low_bytes.astype(np.uint16)
    ordered = sixteen if channels == 1 else sixteen[..., [2, 1, 0, 3][:channels]]
    image = opened(cv2.imencode(suffix, ordered)[1].tobytes())
    assert difference(image.pixels, np.broadcast_to(eight[..., :3], photo.shape)) == 0
    assert (image.alpha is not None) == (channels == 4)
    if image.alpha is not None:
        assert difference(image.alpha, matte) == 0


def test_sixteen_bit_grey_with_a_transparent_level() -> None:
    levels = np.array([[0, 1000, 65535]], ">u2")
    data = png_of(levels.tobytes(), 3, 1, bits=16, colour_type=0, extra=png_chunk(b"tRNS", struct.pack(">H", 1000)))
    image = opened(data)
    assert image.pixels[0, :, 0].tolist() == [0, 3, 255]
    assert image.alpha is not None
    assert image.alpha.tolist() == [[255, 0, 255]]


def test_palette_with_transparency(photo: Pixels) -> None:
    palette = Pillow.fromarray(photo).quantize(16)
    image = opened(saved(palette, "PNG", transparency=3))
    assert difference(image.pixels, np.asarray(palette.convert("RGB"))) == 0
    assert image.alpha is not None
    assert np.array_equal(image.alpha == 0, np.asarray(palette) == 3)


def test_rgb_with_a_transparent_colour() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    image = opened(saved(pixels, "PNG", transparency=(4, 5, 6)))
    assert difference(image.pixels, pixels) == 0
    assert image.alpha is not None
    assert image.alpha.tolist() == [[255, 0]]


def test_grey_with_alpha(photo: Pixels, matte: Pixels) -> None:
    image = opened(saved(np.dstack([photo[..., 0], matte]), "PNG"))
    assert difference(image.pixels, np.repeat(photo[..., :1], 3, axis=2)) == 0
    assert image.alpha is not None
    assert difference(image.alpha, matte) == 0


@pytest.mark.parametrize("format", ["png", "webp", "avif", "tiff"])
def test_alpha_is_kept_apart(photo: Pixels, matte: Pixels, format: str) -> None:
    image = opened(saved(np.dstack([photo, matte]), format, quality=100))
    assert image.pixels.shape == photo.shape
    assert image.alpha is not None
    assert difference(image.alpha, matte) <= 2


def test_an_opaque_alpha_is_none(photo: Pixels) -> None:
    assert opened(saved(np.dstack([photo, np.full_like(photo[..., 0], 255)]), "PNG")).alpha is None


def test_thirty_two_bit_samples_are_unsupported(photo: Pixels) -> None:
    with pytest.raises(UnsupportedImage, match="8 or 16 bits"):
        opened(saved(photo[..., 0].astype(np.float32), "TIFF"))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_unreadable(photo: Pixels, format: str, share: float) -> None:
    data = saved(photo, format)
    with pytest.raises(UnreadableImage):
        opened(data[: int(share * len(data))])


def test_a_truncated_progressive_jpeg_is_unreadable(photo: Pixels) -> None:
    data = saved(photo, "JPEG", progressive=True)
    with pytest.raises(UnreadableImage):
        opened(data[: len(data) * 9 // 10])


def test_a_file_larger_than_its_header_said_is_unreadable(photo: Pixels) -> None:
    with pytest.raises(UnreadableImage, match="differs from its header"):
        decode(saved(photo, "PNG"), Header("png", 10, 10))


def test_density_is_kept(photo: Pixels) -> None:
    assert opened(saved(photo, "JPEG", dpi=(300, 300))).dpi == (300, 300)
    assert opened(saved(photo, "PNG", dpi=(72, 72))).dpi == pytest.approx((72, 72), abs=0.01)
    assert opened(saved(photo, "WEBP")).dpi is None


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(row: bytes, width: int, height: int, bits: int, colour_type: int, extra: bytes = b"") -> bytes:
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + ihdr + extra + png_chunk(b"IDAT", zlib.compress(b"\0" + row)) + png_chunk(b"IEND", b"")
    )
