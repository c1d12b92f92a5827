"""Second opinions: what other decoders make of the same bytes, as straight 8-bit sRGB. None of them is the product.

Each returns `(colours, alpha)`, alpha None for an opaque picture, or raises whatever its library raises.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

Plane: TypeAlias = NDArray[np.uint8]
Opinion: TypeAlias = tuple[Plane, "Plane | None"]


def by_libvips(data: bytes, fail_on: str = "warning") -> Opinion:
    image = pyvips.Image.new_from_buffer(data, "", fail_on=fail_on).autorot()
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True)
    image = image.colourspace("srgb")
    if image.format != "uchar":
        image = image.cast("uchar")
    return _split(np.asarray(image.numpy()))


def by_pillow(data: bytes) -> Opinion:
    with Pillow.open(BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        return _split(np.asarray(upright.convert(mode)))


def by_pillow_heif(data: bytes) -> Opinion:
    import pillow_heif

    image = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True).to_pillow()
    return _split(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))


def by_tifffile(data: bytes) -> Opinion:
    """Read what tifffile reads well: grey or RGB of 8 or 16 bits, with or without straight alpha."""
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        samples = page.asarray()
        if page.planarconfig == 2 and samples.ndim == 3:
            samples = np.moveaxis(samples, 0, -1)
        if page.photometric == 0:
            samples = 2**page.bitspersample - 1 - samples
        if samples.dtype == np.uint16:
            samples = (samples >> 8).astype(np.uint8)
    return _split(samples)


def _split(samples: Plane) -> Opinion:
    samples = samples[..., None] if samples.ndim == 2 else samples
    colours, alpha = (samples[..., :-1], samples[..., -1]) if samples.shape[2] in (2, 4) else (samples, None)
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return np.ascontiguousarray(colours), alpha


OPINIONS: dict[str, Callable[[bytes], Opinion]] = {
    "libvips": by_libvips,
    "pillow": by_pillow,
    "pillow-heif": by_pillow_heif,
    "tifffile": by_tifffile,
}
NOT_THE_PRODUCT = {  # a decoder that the product does not use for the format
    "jpeg": by_pillow,
    "png": by_pillow,
    "gif": by_pillow,
    "tiff": by_pillow,
    "webp": by_libvips,
    "avif": by_libvips,
    "heic": by_pillow_heif,
}


def second_opinion(format: str, data: bytes) -> Opinion:
    return NOT_THE_PRODUCT[format](data)
