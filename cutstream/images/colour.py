"""Convert between ICC profiles and sRGB: sources to sRGB, and finished pixels back to the profile of their source.

The rendering intent is relative colorimetric with black point compensation, the default of Photoshop.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.images import Pixels
from cutstream.images.blocks import row_blocks
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES, Description, Model

MODES: dict[Model, str] = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
SRGB = ImageCms.createProfile("sRGB")
KEPT_TRANSFORMS = 16  # of at most 0.6 MB each: they do not keep their profiles

# "identity" if the profile is sRGB by another name, None if it cannot be used.
Transform: TypeAlias = ImageCms.ImageCmsTransform | Literal["identity"] | None


def to_srgb(samples: NDArray[np.uint8], model: Model, about: Description) -> Pixels:
    """Convert u8 samples, H×W×C, grey, RGB or CMYK, to sRGB by the profile `about.icc`.

    A profile that cannot be used is dropped from `about`.

    Without a profile grey and RGB count as sRGB, as in all viewers, and CMYK as the complement of RGB.
    """
    mode = MODES[model]
    transform = "identity" if about.icc is None else _TO_SRGB.get(about.icc, mode)
    if transform is None:
        about.warn("unusable_profile", "the colour profile is damaged, or not one of these channels: it is ignored")
        about.icc, transform = None, "identity"
    if about.icc is None and mode == "CMYK":
        about.warn("missing_profile", "the file has no usable profile for its CMYK: the colours are approximate")
    if transform != "identity":
        return _apply(transform.apply, samples, mode)
    match mode:
        case "RGB":
            return samples
        case "L":
            return np.repeat(samples, 3, axis=2)
    return _apply(lambda image: image.convert("RGB"), samples, mode)


def _apply(convert: Callable[[Pillow.Image], Pillow.Image], samples: NDArray[np.uint8], mode: str) -> Pixels:
    """Convert samples to three channels by a function of Pillow's."""
    height, width = samples.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    for rows in row_blocks(height, width):
        block = samples[rows]
        result[rows] = np.asarray(convert(Pillow.frombuffer(mode, (width, block.shape[0]), block, "raw", mode, 0, 1)))
    return result


def from_srgb(pixels: Pixels, icc: bytes) -> Pixels | None:
    """Convert sRGB pixels to the profile `icc`. Return None if that is not an RGB profile that can be written to."""
    transform = _FROM_SRGB.get(icc, "RGB")
    if transform is None or transform == "identity":
        return None
    return _apply(transform.apply, pixels, "RGB")


class _Transforms:
    """The transforms used last, by the digest of their profile. Building one takes longer than applying it.

    Thread-safe: the worker's threads encode at the same time.
    """

    def __init__(self, build: Callable[[bytes, str], Transform]) -> None:
        self._build = build
        self._kept: OrderedDict[tuple[bytes, str], Transform] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, icc: bytes, mode: str) -> Transform:
        key = (sha256(icc).digest(), mode)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._build(icc, mode)
                while len(self._kept) > KEPT_TRANSFORMS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _build_to_srgb(icc: bytes, mode: str) -> Transform:
    profile = _profile(icc, mode)
    if profile is None:
        return None
    try:
        transform = ImageCms.buildTransform(profile, SRGB, mode, "RGB", INTENT, FLAGS)
    except ImageCms.PyCMSError:  # damaged beyond its header
        return None
    return "identity" if _is_identity(transform, mode) else transform


def _build_from_srgb(icc: bytes, mode: str) -> Transform:
    profile = _profile(icc, mode)
    if profile is None:
        return None
    try:
        return ImageCms.buildTransform(SRGB, profile, mode, mode, INTENT, FLAGS)
    except ImageCms.PyCMSError:  # an input-only profile
        return None


def _profile(icc: bytes, mode: str) -> ImageCms.ImageCmsProfile | None:
    """Parse a profile. Return None if it is damaged or describes other channels than the image has."""
    if len(icc) > MAX_PROFILE_BYTES:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        space = profile.profile.xcolor_space
    except (OSError, UnicodeDecodeError):
        return None
    return profile if space == SPACES.get(mode) else None


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether no colour of a coarse lattice moves by more than one level: sRGB has many names."""
    if mode not in ("L", "RGB"):
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Pillow.fromarray(lattice if mode == "RGB" else steps[None])
    moved = np.asarray(transform.apply(probe), np.int16)
    return bool(np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= 1)


_TO_SRGB = _Transforms(_build_to_srgb)
_FROM_SRGB = _Transforms(_build_from_srgb)
