"""Decode HEIC with pi-heif (libheif and libde265), with one thread.

libheif applies `irot`, `imir` and `clap`, puts grids together and reduces 10 and 12 bits to 8; EXIF's orientation is
ignored, as HEIF (ISO/IEC 23008-12) demands.
"""

from __future__ import annotations

import re

import numpy as np
import pi_heif
from pi_heif import options

from cutstream.images.decoders import heif_exif
from cutstream.images.decoders.avif import state_colour
from cutstream.images.decoders.failures import DecoderOutOfMemory, NotSupported, Undecodable, failure
from cutstream.images.decoders.heic_crop import take_over
from cutstream.images.decoders.hevc_damage import HevcWarnings
from cutstream.images.decoders.raster import Description, Model, Raster, split, unpremultiply
from cutstream.images.header import Header

options.DECODE_THREADS = 1
options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
_WARNINGS = HevcWarnings()
DESCRIBES = re.compile(rb"(\0\0..)cdsc", re.DOTALL)  # the references from metadata to their picture
MODELS: dict[str, Model] = {
    "L": "grey",
    "I;16": "grey",
    "LA": "grey",
    "La": "grey",
    "RGB": "rgb",
    "RGBA": "rgb",
    "RGBa": "rgb",
}


def read(data: bytes, header: Header) -> Raster:
    """Decode the primary image. Raises `Undecodable`, `NotSupported`, `DecoderOutOfMemory`."""
    about = Description()
    # pi-heif crashes on damaged metadata, and reads none without references.
    without_metadata = DESCRIBES.sub(rb"\1skip", data) if b"cdsc" in data else data
    readable, window = take_over(without_metadata, header)
    size = {window.whole_width, window.whole_height} if window else {header.width, header.height}
    _WARNINGS.clear()
    try:
        file = pi_heif.open_heif(readable, convert_hdr_to_8bit=True)
        image = file[file.primary_index]
        if {*image.size} != size:
            raise Undecodable(f"it is {image.size[0]}×{image.size[1]}, which differs from its header")
        samples = np.array(image)  # a copy: libheif's memory goes with `file`
        if {*samples.shape[:2]} != size:  # a crop beyond the picture
            raise Undecodable(f"{samples.shape[1]}×{samples.shape[0]} pixels came, which differs from its header")
    except MemoryError as error:
        raise DecoderOutOfMemory from error
    except Undecodable:
        raise
    except Exception as error:  # libheif's errors come as ValueError, RuntimeError, SyntaxError and EOFError
        _check_warnings()
        raise failure(str(error)) from error
    _check_warnings()
    if window:
        samples = np.ascontiguousarray(samples[window.rows, window.columns])
    if image.mode not in MODELS:
        raise NotSupported(f"samples of type {image.mode} are not supported: save the image with 8 or 10 bits")
    if samples.dtype == np.uint16:  # pi-heif leaves grey of 10 and 12 bits in the high bits
        samples = (samples >> 8).astype(np.uint8)
    icc = image.info.get("icc_profile")
    about.icc = icc if isinstance(icc, bytes) and icc else None
    heif_exif.describe(data, about, turned=True)
    state_colour(about, header.colour)
    raster = split(samples, MODELS[image.mode], about)
    if raster.alpha is not None and image.mode.endswith("a"):
        raster.samples = unpremultiply(raster.samples, raster.alpha)
    return raster


def _check_warnings() -> None:
    if _WARNINGS.not_supported:
        raise NotSupported("a part of HEVC is not supported that this HEIC uses, such as layers: save it again")
    if _WARNINGS.out_of_memory:
        raise DecoderOutOfMemory
    if _WARNINGS.damage:
        raise Undecodable(f"its image data are damaged ({_WARNINGS.damage})")
