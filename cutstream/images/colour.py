"""ICC profiles: every source to sRGB, and finished pixels back to the profile of their source.

Relative colorimetric with black point compensation, as Photoshop converts.
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


def to_srgb(picture: Pillow.Image, icc: bytes | None) -> Pillow.Image:
    """`picture` is L, RGB, CMYK, YCbCr or LAB. Without a usable profile it counts as sRGB, as in every viewer."""
    transform = _into_srgb(icc, picture.mode)
    return picture.convert("RGB") if transform is None else transform.apply(picture)


def from_srgb(pixels: Pixels, icc: bytes) -> Pixels | None:
    """RGB pixels in the space of `icc`, or None where that is no RGB profile."""
    profile = _profile(icc, "RGB")
    if profile is None:
        return None
    try:
        transform = ImageCms.buildTransform(SRGB, profile, "RGB", "RGB", INTENT, FLAGS)
    except ImageCms.PyCMSError:  # an input-only profile
        return None
    return np.asarray(transform.apply(Pillow.fromarray(pixels)))


@lru_cache(maxsize=16)  # building one takes longer than using it, and a shop's photos share few profiles
def _into_srgb(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    profile = LAB if mode == "LAB" else _profile(icc, mode)
    if profile is None:
        return None
    try:
        transform = ImageCms.buildTransform(profile, SRGB, mode, "RGB", INTENT, FLAGS)
    except ImageCms.PyCMSError:  # damaged beyond its header
        return None
    return None if _changes_nothing(transform, mode) else transform


def _profile(icc: bytes | None, mode: str) -> ImageCms.ImageCmsProfile | None:
    """None for a profile that is damaged or describes other channels than the picture has."""
    if icc is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        space = profile.profile.xcolor_space
    except (OSError, UnicodeDecodeError):
        return None
    return profile if space == SPACES.get(mode) else None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """sRGB under any of its many names: no colour of a coarse lattice moves by more than one level."""
    if mode not in ("L", "RGB"):
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Pillow.fromarray(lattice if mode == "RGB" else steps[None])
    moved = np.asarray(transform.apply(probe), np.int16)
    return bool(np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= 1)
