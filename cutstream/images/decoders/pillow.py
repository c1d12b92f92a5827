"""Decode with Pillow what libvips has no reader for, or a slower one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from cutstream.images.decoders.failures import DecoderOutOfMemory, NotSupported, Undecodable, failure
from cutstream.images.decoders.metadata import check_dpi, read_exif
from cutstream.images.decoders.raster import Description, Model, Raster, split

MODELS: dict[str, Model] = {"L": "grey", "LA": "grey", "RGB": "rgb", "RGBA": "rgb", "CMYK": "cmyk", "I;16": "grey"}
CONVERTED = {"1": "L", "YCbCr": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "I;16B": "I;16", "P": "RGB", "PA": "RGBA"}


def load(reader: type[ImageFile], data: bytes, size: tuple[int, int], about: Description) -> Raster:
    """Decode a file of `size` (width, height) with one of Pillow's readers; profile and resolution go into `about`.

    Raises `Undecodable`, `NotSupported`, `DecoderOutOfMemory`.
    """
    with _map_errors():
        image = _open(reader, data, size)
        _describe(image, about)
        image = _plain(image)
    return split(np.asarray(image), MODELS[image.mode], about)


def open_samples(reader: type[ImageFile], data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode a file of one channel without its palette. Returns H×W. Raises as `load`."""
    with _map_errors():
        return np.asarray(_open(reader, data, size))


def _open(reader: type[ImageFile], data: bytes, size: tuple[int, int]) -> Pillow.Image:
    image = reader(BytesIO(data))
    if image.size != size:
        raise Undecodable(f"it is {image.width}×{image.height}, which differs from its header")
    image.load()
    return image


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError as error:
        raise DecoderOutOfMemory from error
    except (Undecodable, NotSupported):
        raise
    except NotImplementedError as error:
        raise NotSupported("a file of this kind is not supported: save it as JPEG or PNG") from error
    except Exception as error:  # damaged bytes make Pillow raise nearly anything, KeyError included
        raise _failure(error) from error


def _plain(image: Pillow.Image) -> Pillow.Image:
    if image.mode == "P" and image.has_transparency_data:
        return image.convert("RGBA")
    mode = CONVERTED.get(image.mode, image.mode)
    if mode not in MODELS:
        raise NotSupported(f"samples of type {image.mode} are not supported: save the image with 8 or 16 bits")
    return image if mode == image.mode else image.convert(mode)


def _describe(image: Pillow.Image, about: Description) -> None:
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        read_exif(exif, about)
    icc = image.info.get("icc_profile")
    if about.icc is None and icc:
        if isinstance(icc, bytes):
            about.icc = icc
        else:
            about.warn("unusable_profile", "the colour profile is damaged: sRGB is assumed")
    if about.dpi is None and "dpi" in image.info:
        try:
            x, y = (float(value) for value in image.info["dpi"])
        except (TypeError, ValueError, ZeroDivisionError):
            about.warn("unusable_metadata", "the resolution cannot be read, and is ignored")
        else:
            about.dpi = check_dpi(x, y, about)


def _failure(error: Exception) -> Exception:
    """Return the failure for an exception of Pillow's."""
    words = str(error)
    if words.startswith("Unsupported BMP"):
        return NotSupported("a BMP of this depth or compression is not supported: save it with 24 bits")
    return failure(words)
