"""Real photos in every variant that users send, against the same photo decoded the plain way."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from cutstream.errors import InvalidOption, UnreadableImage, UnsupportedImage
from cutstream.images import Image, Pixels
from cutstream.images.decode import decode
from cutstream.images.encode import EXTENSIONS, MAX_SIDE, MEDIA_TYPES, encode
from cutstream.images.header import Header, read_header
from cutstream.images.orientation import UPRIGHT

MAX_PIXELS = 50_000_000
FORMATS = ("jpeg", "png", "webp", "avif", "tiff")
PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """Odd sides, wider than high, no symmetry."""
    coffee = Pillow.open(PHOTOS / "coffee.png").convert("RGB")
    return np.asarray(coffee.resize((151, 101), Pillow.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def matte(photo: Pixels) -> Pixels:
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    return np.clip(255 * (1.5 - np.hypot((x - 75) / 50, (y - 50) / 40) * 1.2), 0, 255).astype(np.uint8)


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


# --- decode


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


# --- colour


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


DISPLAY_P3_PRIMARIES = {"r": (0.680, 0.320), "g": (0.265, 0.690), "b": (0.150, 0.060)}
ADOBE_RGB_PRIMARIES = {"r": (0.64, 0.33), "g": (0.21, 0.71), "b": (0.15, 0.06)}
ADOBE_RGB = rgb_profile(ADOBE_RGB_PRIMARIES, 563 / 256)


def test_adobe_rgb_comes_to_known_srgb_values() -> None:
    """Reference values by the published matrices; a photo shown without conversion would look dull."""
    adobe = np.array([[[200, 100, 50], [100, 150, 120], [128, 128, 128]]], np.uint8)
    image = opened(saved(adobe, "PNG", icc_profile=ADOBE_RGB))
    assert difference(image.pixels, srgb_of(adobe, ADOBE_RGB_PRIMARIES, 563 / 256)) <= 1
    assert difference(image.pixels, adobe) > 10
    assert image.icc == ADOBE_RGB


def test_display_p3_comes_to_known_srgb_values(photo: Pixels) -> None:
    p3 = rgb_profile(DISPLAY_P3_PRIMARIES, 2.2)
    image = opened(saved(photo, "TIFF", icc_profile=p3))
    expected = srgb_of(photo, DISPLAY_P3_PRIMARIES, round(2.2 * 256) / 256)
    assert np.percentile(np.abs(image.pixels.astype(int) - expected), 99) <= 1


def srgb_of(pixels: Pixels, primaries: dict[str, tuple[float, float]], gamma: float) -> Pixels:
    def to_xyz(corners: dict[str, tuple[float, float]]) -> np.ndarray:
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners.values()]).T
        return xyz * np.linalg.solve(xyz, np.array([0.95047, 1, 1.08883]))

    srgb = {"r": (0.64, 0.33), "g": (0.30, 0.60), "b": (0.15, 0.06)}
    linear = (pixels / 255) ** gamma @ (np.linalg.inv(to_xyz(srgb)) @ to_xyz(primaries)).T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def test_srgb_under_any_name_is_left_alone(photo: Pixels) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = opened(saved(photo, "PNG", icc_profile=srgb))
    assert difference(image.pixels, photo) == 0
    assert image.icc == srgb


@pytest.mark.parametrize("icc", [b"not a profile", ADOBE_RGB[:200]], ids=["garbage", "truncated"])
def test_a_damaged_profile_is_ignored(photo: Pixels, icc: bytes) -> None:
    assert difference(opened(saved(photo, "PNG", icc_profile=icc)).pixels, photo) == 0


def test_a_profile_of_other_channels_is_ignored(photo: Pixels) -> None:
    grey = photo[..., 0].copy()
    assert difference(opened(saved(grey, "PNG", icc_profile=ADOBE_RGB)).pixels[..., 0], grey) == 0


def test_lab_tiff(photo: Pixels) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Pillow.fromarray(photo), to_lab)
    assert lab is not None
    del lab.info["icc_profile"]
    assert np.abs(opened(saved(lab, "TIFF")).pixels.astype(int) - photo).mean() < 2


def test_density_is_kept(photo: Pixels) -> None:
    assert opened(saved(photo, "JPEG", dpi=(300, 300))).dpi == (300, 300)
    assert opened(saved(photo, "PNG", dpi=(72, 72))).dpi == pytest.approx((72, 72), abs=0.01)
    assert opened(saved(photo, "WEBP")).dpi is None


# --- encode


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(row: bytes, width: int, height: int, bits: int, colour_type: int, extra: bytes = b"") -> bytes:
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + ihdr + extra + png_chunk(b"IDAT", zlib.compress(b"\0" + row)) + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_lossless_for_other_readers_too(photo: Pixels, matte: Pixels, channels: int) -> None:
    pixels = {1: matte, 3: photo, 4: np.dstack([photo, matte])}[channels]
    data = encode(pixels, "png")
    assert np.array_equal(np.asarray(Pillow.open(BytesIO(data))), pixels)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(bgr if channels == 1 else bgr[..., [2, 1, 0, 3][:channels]], pixels)


def test_png_of_a_flat_picture_is_small() -> None:
    assert len(encode(np.full((1000, 1500, 3), 255, np.uint8), "png")) < 10_000


def test_a_view_encodes_like_its_copy(photo: Pixels) -> None:
    view = photo[10:90, 20:120]
    for format in MEDIA_TYPES:
        assert encode(view, format) == encode(view.copy(), format)


def test_webp_keeps_the_alpha(photo: Pixels, matte: Pixels) -> None:
    image = opened(encode(np.dstack([photo, matte]), "webp", 90))
    assert image.alpha is not None
    assert difference(image.alpha, matte) <= 1
    assert np.array_equal(image.alpha == 0, matte == 0)
    assert np.array_equal(image.alpha == 255, matte == 255)
    inside = matte == 255
    assert np.abs(image.pixels.astype(int) - photo)[inside].mean() < 6


@pytest.mark.parametrize("format", ["webp", "jpeg"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossy_formats_come_close(photo: Pixels, matte: Pixels, format: Any, grey: bool) -> None:
    pixels = matte if grey else photo
    image = opened(encode(pixels, format, 95))
    expected = np.repeat(matte[..., None], 3, axis=2) if grey else photo
    assert np.abs(image.pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_quality_trades_size(photo: Pixels, format: Any) -> None:
    assert len(encode(photo, format, 40)) < len(encode(photo, format, 90))


def test_jpeg_does_not_bleed_a_saturated_background() -> None:
    """Colours change between the two pixels of a halved chroma sample, where 4:2:0 would mix them."""
    half = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    half[:, 15:] = (0, 0, 255)
    assert np.abs(opened(encode(half, "jpeg", 100)).pixels[:, 14:16].astype(int) - half[:, 14:16]).max() < 10


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_density_is_written(photo: Pixels, format: Any) -> None:
    assert opened(encode(photo, format, dpi=(300, 150))).dpi == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize(
    ("format", "alpha"), [("png", False), ("png", True), ("webp", False), ("webp", True), ("jpeg", False)]
)
def test_a_profile_comes_back_with_the_same_colours(photo: Pixels, matte: Pixels, format: Any, alpha: bool) -> None:
    pixels = np.dstack([photo, matte]) if alpha else photo
    image = opened(encode(pixels, format, 100, icc=ADOBE_RGB))
    assert image.icc == ADOBE_RGB
    visible = matte > 0 if alpha else np.ones_like(matte, bool)
    assert np.abs(image.pixels.astype(int) - photo)[visible].mean() < (1 if format == "png" else 3)


def test_a_profile_that_is_not_rgb_is_left_out(photo: Pixels, matte: Pixels) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert encode(photo, "png", icc=lab) == encode(photo, "png")
    assert encode(matte, "png", icc=ADOBE_RGB) == encode(matte, "png")


def test_jpeg_with_transparency_is_refused(photo: Pixels, matte: Pixels) -> None:
    with pytest.raises(InvalidOption, match="ask for png or webp"):
        encode(np.dstack([photo, matte]), "jpeg")


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_sides_that_a_format_cannot_hold_are_refused(format: Any) -> None:
    with pytest.raises(InvalidOption, match=f"{MAX_SIDE[format]} pixels a side"):
        encode(np.zeros((1, MAX_SIDE[format] + 1), np.uint8), format)
    assert encode(np.zeros((1, MAX_SIDE[format]), np.uint8), format)


def test_every_format_has_a_media_type_and_an_extension() -> None:
    assert MEDIA_TYPES == {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
    assert EXTENSIONS == {"png": "png", "webp": "webp", "jpeg": "jpg"}
