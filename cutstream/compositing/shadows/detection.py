"""Detect the shadows that lie in an image: darker than their surroundings, and of the same chromaticity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import window_side

SURROUNDINGS = 1 / 6  # of the long side, to either side
# Brightness of a shadow by the mean of its surroundings: a pixel darker than the first is black itself.
MIN_SHADOW, MAX_SHADOW = 0.35, 0.85
BRIGHT_OBJECT = 1.25  # brightness by the mean of the surroundings, from which a pixel belongs to an object
OTHER_COLOUR = 0.05  # difference of a channel's share of the whole; the sky's light in a shadow makes less
BLACK_LEVEL = 3.0  # added to the sum of the channels, since noise in the dark has no colour

MAX_COMPONENTS = 5  # shadows, and objects
MIN_AREA = 0.001  # of the image
MAX_AREA = 0.2  # of the image: a dark half of it is no shadow
TOUCHING_PX = 3
MIN_GROUND = 0.45  # share of a shadow's outline that has to lie on the ground: on neither shadow nor object
# In heights of the object that casts the shadow: beyond these the two do not belong together.
MIN_LENGTH, MAX_LENGTH = 0.2, 2.5
# The longer axis by the shorter: up to the first a shadow is round, from the second on its axis gives the direction.
ROUND, LONG = 1.5, 2.5
# Cosine of the axis with the way from the object: a wide object's short shadow lies across that way, not along it.
ACROSS, ALONG = 0.2, 0.5

OPENING = np.ones((3, 3), np.uint8)
REACH = np.ones((2 * TOUCHING_PX + 1, 2 * TOUCHING_PX + 1), np.uint8)


class SurfaceMap(NamedTuple):
    """A small image's `brightness` (sum of its channels, f32 HW), and masks of its shadows and its objects (u8 HW)."""

    brightness: Floats
    shadows: Matte
    objects: Matte


class DetectedShadow(NamedTuple):
    """A shadow's mask (u8 HW), its direction, its weight as evidence, and its length in heights of its object.

    `direction` is right and down, of length 1. If no object is seen that casts the shadow, `length` is None and the
    opposite direction is as likely.
    """

    mask: Matte
    direction: Floats
    weight: float
    length: float | None


def map_surfaces(image: Pixels, ops: ArrayOps) -> SurfaceMap:
    """Tell shadows, objects and ground apart in a small image (u8 HWC)."""
    xp = ops.xp
    height, width = image.shape[:2]
    reach = SURROUNDINGS * max(height, width)
    window = (window_side(reach, width), window_side(reach, height))
    red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
    brightness = red + green + blue + np.float32(BLACK_LEVEL)
    ratio = brightness / ops.box(brightness, *window)
    shares = red / brightness, blue / brightness
    difference = xp.maximum(*(xp.abs(share - ops.box(share, *window)) for share in shares))
    same_colour = difference < np.float32(OTHER_COLOUR)
    shadows = (ratio > np.float32(MIN_SHADOW)) & (ratio < np.float32(MAX_SHADOW)) & same_colour
    objects = (difference >= np.float32(OTHER_COLOUR)) | (ratio > np.float32(BRIGHT_OBJECT))
    return SurfaceMap(brightness, *(_remove_specks(mask, ops) for mask in (shadows, objects)))


def detect_shadows(surfaces: SurfaceMap, ops: ArrayOps) -> list[DetectedShadow]:
    """Return the largest shadows on the ground, the largest first; one mostly surrounded by objects is part of them."""
    objects = [ops.to_host(mask) for mask in find_components(surfaces.objects, ops)]  # sync: 40 KB each
    covered = ops.to_host(ops.xp.maximum(surfaces.shadows, surfaces.objects)) > 0  # sync: 40 KB
    detected: list[DetectedShadow] = []
    for mask in find_components(surfaces.shadows, ops):
        own, reach = ops.to_host(mask) > 0, ops.to_host(ops.dilate(mask, REACH, 1)) > 0  # sync: 80 KB
        outline = reach & ~own
        if (outline & ~covered).sum() >= MIN_GROUND * outline.sum():
            contacts = [_coordinates(each * reach) for each in objects]
            detected.append(_describe(mask, _coordinates(own), contacts, objects))
    return [shadow for shadow in detected if shadow.length is None or MIN_LENGTH < shadow.length < MAX_LENGTH]


def find_components(mask: Matte, ops: ArrayOps) -> list[Matte]:
    """Return the components of u8 HW that are neither specks nor a large part of the image, the largest first."""
    components = []
    for _ in range(MAX_COMPONENTS):
        largest = ops.largest_component(mask, 0)
        share = int(ops.histogram(largest)[1:].sum()) / largest.size  # sync: whether to stop
        if share < MIN_AREA or share == 0:
            break
        if share <= MAX_AREA:
            components.append(largest)
        mask = mask - largest
    return components


def _describe(mask: Matte, at: Floats, contacts: list[Floats], objects: list[Matte]) -> DetectedShadow:
    """Describe a shadow at the coordinates `at`; `contacts` are those of each object near it.

    Its weight grows with its size and elongation, and towards the lower edge: the higher a point lies in the image,
    the less likely it is ground.
    """
    middle = at.mean(axis=1)
    short, long, axis = _axes(at)
    elongation = np.sqrt(long / max(short, 1 / 12))
    height = mask.shape[0]
    weight = float(np.sqrt(at.shape[1]) * min(elongation, 4) * min(1, 0.3 + 1.4 * middle[1] / height))
    nearest = max(range(len(objects)), key=lambda index: contacts[index].shape[1], default=None)
    if nearest is None or not contacts[nearest].shape[1]:
        return DetectedShadow(mask, axis, weight * float(elongation > ROUND), None)
    away = middle - contacts[nearest].mean(axis=1)
    away = away / max(float(np.hypot(*away)), 1e-6)
    along = axis * np.sign(axis @ away)
    certain = _ramp(float(elongation), ROUND, LONG) * _ramp(float(along @ away), ACROSS, ALONG)
    direction = certain * along + (1 - certain) * away
    direction = direction / max(float(np.hypot(*direction)), 1e-6)
    return DetectedShadow(mask, direction, weight, _length(at, direction, _coordinates(objects[nearest])))


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _length(at: Floats, direction: Floats, casting_object: Floats) -> float:
    """Return the way from the object's foot to the shadow's tip, in heights of the object."""
    columns, rows = casting_object
    low, high = rows.max(), rows.min()
    foot = np.array([columns[rows >= low - 0.1 * (low - high)].mean(), low], np.float32)
    return float(np.percentile(direction @ at - direction @ foot, 98) / max(low - high, 1))


def _axes(at: Floats) -> tuple[float, float, Floats]:
    """Return the variance along the short and the long axis, and the direction of the long one."""
    centred = at - at.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.T / at.shape[1])
    return float(values[0]), float(values[1]), np.asarray(vectors[:, 1], np.float32)


def _coordinates(mask: NDArray[Any]) -> Floats:
    """Return x and y of all values that are not 0, 2 × n."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return np.stack([columns, rows]).astype(np.float32)


def _remove_specks(mask: Matte, ops: ArrayOps) -> Matte:
    """Open a boolean mask, and return it as u8 HW, 0 and 255."""
    return ops.dilate(ops.erode(mask * np.uint8(255), OPENING, 1), OPENING, 1)
