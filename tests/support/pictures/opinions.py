"""Second opinions: what other decoders make of the same bytes, as straight 8-bit sRGB. None of them is the product.

Each returns `(colours, alpha)`, alpha None for an opaque picture, or raises whatever its library raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, TypeAlias

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

Plane: TypeAlias = NDArray[np.uint8]
Opinion: TypeAlias = "tuple[Plane, Plane | None]"

SRGB = ImageCms.createProfile("sRGB")


def by_libvips(data: bytes, *, managed: bool = True, page: int = 0, upright: bool = True) -> Opinion:
    """Decode strictly. `managed` applies the profile."""
    options = {"page": page} if page else {}
    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning", **options)
    if upright:
        image = image.autorot()
    if managed and image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True)
    image = image.colourspace("srgb")
    if image.format != "uchar":
        image = image.cast("uchar")
    return split(np.asarray(image.numpy()))


def by_pillow(data: bytes, *, managed: bool = False, page: int = 0, upright: bool = True) -> Opinion:
    with Pillow.open(BytesIO(data)) as image:
        if page:
            image.seek(page)
        image.load()
        turned: Pillow.Image = image
        if upright:
            with suppress(Exception):  # damaged EXIF
                turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I;16"):
            turned = Pillow.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
        alpha = np.asarray(turned.convert("RGBA").getchannel("A")) if turned.has_transparency_data else None
        colours = _managed(turned, image.info.get("icc_profile")) if managed else turned.convert("RGB")
        return np.asarray(colours), None if alpha is None or alpha.min() == 255 else alpha


def _managed(image: Pillow.Image, icc: bytes | None) -> Pillow.Image:
    if not icc:
        return image.convert("RGB")
    plain = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    converted = ImageCms.profileToProfile(plain, profile, SRGB, outputMode="RGB")
    assert converted is not None
    return converted


def by_pillow_with_end(data: bytes) -> Opinion:
    """Decode a JPEG as if only its end marker were missing."""
    return by_pillow(data + b"\xff\xd9", managed=True)


def by_pillow_from_whole_chunks(data: bytes) -> Opinion:
    """Decode a WebP from the chunks that are whole, up to the first that is not."""
    body, at = b"", 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            break
        body += data[at:end] + bytes((end - at) % 2)
        at = end + (end - at) % 2
    return by_pillow(b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body, managed=True)


def by_pillow_heif(data: bytes) -> Opinion:
    import pillow_heif

    image = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True).to_pillow()
    return split(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))


def by_opencv(data: bytes) -> Opinion:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ValueError("refused")
    samples: NDArray[Any] = (decoded >> 8).astype(np.uint8) if decoded.dtype == np.uint16 else decoded
    if samples.ndim == 3 and samples.shape[2] >= 3:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return split(samples)


def by_tifffile(data: bytes) -> Opinion:
    """Read what tifffile reads well: grey or RGB of 8 or 16 bits, with or without straight alpha."""
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[0]
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, -1)
        if page.photometric == 0:
            samples = 2**page.bitspersample - 1 - samples
        if samples.dtype == np.uint16:
            samples = (samples >> 8).astype(np.uint8)
        if page.photometric == 3:
            samples = (np.asarray(page.colormap) >> 8).astype(np.uint8).T[samples]
    return split(samples)


def split(samples: Plane) -> Opinion:
    samples = samples[..., None] if samples.ndim == 2 else samples
    colours, alpha = (samples[..., :-1], samples[..., -1]) if samples.shape[2] in (2, 4) else (samples, None)
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return np.ascontiguousarray(colours), alpha


def _both(decoder: Callable[..., Opinion], name: str) -> dict[str, Callable[[bytes], Opinion]]:
    return {
        f"{name}, colours converted": partial(decoder, managed=True),
        f"{name}, colours as stored": partial(decoder, managed=False),
        f"{name}, as it lies": partial(decoder, managed=False, upright=False),
    }


OPINIONS: dict[str, dict[str, Callable[[bytes], Opinion]]] = {
    "jpeg": _both(by_pillow, "Pillow")
    | _both(by_libvips, "libvips")
    | {"Pillow, end marker added": by_pillow_with_end, "OpenCV": by_opencv},
    "png": _both(by_pillow, "Pillow") | _both(by_libvips, "libvips"),
    "gif": {"Pillow": by_pillow},
    "tiff": _both(by_libvips, "libvips")
    | _both(by_pillow, "Pillow")
    | {"tifffile": by_tifffile, "OpenCV": by_opencv}
    | {f"libvips, page {page}": partial(by_libvips, page=page) for page in (1, 2)},
    "webp": _both(by_libvips, "libvips")
    | _both(by_pillow, "Pillow")
    | {"Pillow, from whole chunks": by_pillow_from_whole_chunks},
    "avif": _both(by_libvips, "libvips") | _both(by_pillow, "Pillow"),
    "heic": {"pillow-heif": by_pillow_heif},
    "bmp": {"OpenCV": by_opencv, "Pillow": by_pillow},
    "jpeg2000": {"OpenCV": by_opencv, "Pillow": by_pillow},
}
CLOSEST = {"jpeg": by_pillow, "webp": by_libvips, "avif": by_libvips, "heic": by_pillow_heif}


def second_opinion(format: str, data: bytes) -> Opinion:
    """Return the picture of a decoder that the product does not use for the format."""
    return CLOSEST[format](data)


def opinions(format: str, data: bytes) -> Iterator[tuple[str, Opinion | Exception]]:
    """Yield what each other decoder makes of a file: a picture, or the exception that it raises."""
    for name, decoder in OPINIONS[format].items():
        try:
            yield name, decoder(data)
        except Exception as error:
            yield name, error
