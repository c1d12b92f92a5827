"""Decode with libvips, whose readers refuse what they cannot read whole. The only module that talks to pyvips.

libvips runs with one thread, without its cache, and without readers that are not hardened. Its warnings do not
reach the log, where a damaged TIFF could write millions of lines; one of each kind is returned.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray

from cutstream.images.decoders.failures import DecoderOutOfMemory, Undecodable, failure

Loader: TypeAlias = Literal["jpegload_source", "pngload_source", "tiffload_source"]

MAX_REMARKS, KIND_CHARACTERS = 50, 24


# libtiff would refuse a picture that is one strip of more than 50 MB. The size is known to be within the limits.
UNLIMITED: dict[Loader, dict[str, bool]] = {
    "jpegload_source": {},
    "pngload_source": {},
    "tiffload_source": {"unlimited": True},
}


class _Remarks:
    """Stands in for pyvips' logger: keeps one remark of each kind, by the words that it begins with."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def log(self, level: int, message: str) -> None:
        if len(self.kinds) < MAX_REMARKS:
            self.kinds.setdefault(message[:KIND_CHARACTERS], message)

    def debug(self, message: str, *arguments: object) -> None:
        """Drop a line of pyvips."""


_remarks = _Remarks()
_one_at_a_time = threading.Lock()  # libvips has one error buffer for all threads

pyvips.logger = _remarks
pyvips.concurrency_set(1)
pyvips.cache_set_max(0)
pyvips.block_untrusted_set(True)


@dataclass(frozen=True)
class Loaded:
    """Samples of H×W×C, u8 or u16. `interpretation` is libvips' word; `remarks` are warnings of libtiff and libpng.

    `warning` is the first one of libjpeg, which is not among them, or empty.
    """

    samples: NDArray[Any]
    interpretation: str
    warning: str
    remarks: tuple[str, ...]


def load(
    loader: Loader,
    data: bytes,
    size: tuple[int, int],
    *,
    high_bytes: bool,
) -> Loaded:
    """Decode a file of `size` (width, height). `high_bytes` reduces 16-bit samples to 8 while they are read.

    Raises `Undecodable`, `DecoderOutOfMemory`.
    """
    with _one_at_a_time, _no_remark_lost():
        _remarks.kinds.clear()
        pyvips.vips_lib.vips_error_clear()
        try:
            source = pyvips.Source.new_from_memory(data)
            image = pyvips.Operation.call(loader, source, access="sequential", fail_on="error", **UNLIMITED[loader])
            if (image.width, image.height) != size:
                raise Undecodable(f"it is {image.width}×{image.height}, which differs from its header")
            samples = _samples(image, high_bytes)
        except pyvips.Error as error:
            raise failure(error.detail) from error
        # libjpeg's warnings are in the error buffer, where libvips does not look after the last rows of an image.
        warning = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
        pyvips.vips_lib.vips_error_clear()
        return Loaded(samples, image.interpretation, warning.strip(), tuple(_remarks.kinds.values()))


@contextmanager
def _no_remark_lost() -> Iterator[None]:
    """Raise DecoderOutOfMemory if Python had no memory for a remark, which may have been one about missing pixels.

    cffi calls Python from C, where nobody can catch what is raised: it would be printed, and forgotten.
    """
    lost: list[type[BaseException]] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: lost.append(unraisable.exc_type)
    try:
        yield
    finally:
        sys.unraisablehook = before
    if lost:
        raise DecoderOutOfMemory


def _samples(image: pyvips.Image, high_bytes: bool) -> NDArray[Any]:
    if image.coding == "labq":  # four bytes a pixel: L, a, b, and the low bits of all three
        image = image.copy(coding="none", format="uchar", bands=4, interpretation="lab")
    if image.format == "ushort" and high_bytes:
        image = image.cast("uchar", shift=True)
    if image.format not in ("uchar", "ushort", "short"):
        raise Undecodable(f"its samples are of type {image.format}")
    dtype = {"uchar": np.uint8, "ushort": np.uint16, "short": np.int16}[image.format]
    memory = image.write_to_memory()
    return np.frombuffer(memory, dtype).reshape(image.height, image.width, image.bands)
