"""Convert between ICC profiles and sRGB: sources to sRGB, and finished pixels back to the profile of their source.

The rendering intent is relative colorimetric with black point compensation, the default of Photoshop.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.images import Pixels

SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
SRGB = ImageCms.createProfile("sRGB")
LAB = ImageCms.createProfile("LAB")


def to_srgb(image: Pillow.Image, icc: bytes | None) -> Pillow.Image:
    """Convert an L, RGB, CMYK, YCbCr or LAB image to sRGB.

    An image without a usable profile counts as sRGB, as in all viewers.
    """
    transform = _srgb_transform(icc, image.mode)
    return image.convert("RGB") if transform is None else transform.apply(image)


def from_srgb(pixels: Pixels, icc: bytes) -> Pixels | None:
    """Convert sRGB pixels to the profile `icc`. Return None if that is not an RGB profile."""
    profile = _profile(icc, "RGB")
    if profile is None:
        return None
    try:
        transform = ImageCms.buildTransform(SRGB, profile, "RGB", "RGB", INTENT, FLAGS)
    except ImageCms.PyCMSError:  # an input-only profile
        return None
    return np.asarray(transform.apply(Pillow.fromarray(pixels)))


# Building a transform takes longer than applying it, and the photos of one source share few profiles.
@lru_cache(maxsize=16)
def _srgb_transform(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    profile = LAB if mode == "LAB" else _profile(icc, mode)
    if profile is None:
        return None
    try:
        transform = ImageCms.buildTransform(profile, SRGB, mode, "RGB", INTENT, FLAGS)
    except ImageCms.PyCMSError:  # damaged beyond its header
        return None
    return None if _is_identity(transform, mode) else transform


def _profile(icc: bytes | None, mode: str) -> ImageCms.ImageCmsProfile | None:
    """Parse a profile. Return None if it is damaged or describes other channels than the image has."""
    if icc is None:
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
