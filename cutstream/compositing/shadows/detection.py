"""The shadows that lie in a picture: darker than their surroundings, and of the same chromaticity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte, Pixels

SURROUNDINGS = 1 / 6  # of the long side, to either side
DARKEST, DARKER = 0.35, 0.85  # than the surroundings' mean; what is darker still is black itself
BRIGHTER = 1.25
OTHER_COLOUR = 0.05  # difference of a channel's share of the whole; light of the sky in a shadow makes less
BLACK = 3.0  # added to the sum of the channels: noise in the dark has no colour

MOST = 5  # shadows, and things
SMALLEST = 0.001  # of the picture
LARGEST = 0.2  # a dark half of a picture is no shadow
TOUCHING = 3  # pixels
ON_GROUND = 0.45  # of its outline, which is to lie on what is neither shade nor a thing
SHORTEST, LONGEST = 0.2, 2.5  # heights of the thrower: beyond these the two do not belong together
ROUND, LONG = 1.5, 2.5  # the longer axis by the shorter: from `LONG` on the axis says the direction
ACROSS, ALONG = 0.2, 0.5  # cosine of the axis with the way from the thrower: a wide thing's short shadow lies across

SQUARE = np.ones((3, 3), np.uint8)
REACH = np.ones((2 * TOUCHING + 1, 2 * TOUCHING + 1), np.uint8)


class Ground(NamedTuple):
    """Of a small picture: `light`, the sum of its channels (f32 HW); where it lies in shadow, and where things are."""

    light: Floats
    shade: Matte
    things: Matte


class Cast(NamedTuple):
    """One shadow: its pixels (u8 HW), how it lies, how much it says, and how long it is in heights of its thrower.

    `direction` is right and down, of length 1. Where no thrower is seen, `length` is None and the opposite direction as
    good.
    """

    mask: Matte
    direction: Floats
    weight: float
    length: float | None


def survey(picture: Pixels, ops: ArrayOps) -> Ground:
    xp = ops.xp
    height, width = picture.shape[:2]
    reach = SURROUNDINGS * max(height, width)
    window = (_within(reach, width), _within(reach, height))
    red, green, blue = (picture[..., channel].astype(np.float32) for channel in range(3))
    light = red + green + blue + np.float32(BLACK)
    ratio = light / ops.box(light, *window)
    shares = red / light, blue / light
    other = xp.maximum(*(xp.abs(share - ops.box(share, *window)) for share in shares))
    same = other < np.float32(OTHER_COLOUR)
    shade = (ratio > np.float32(DARKEST)) & (ratio < np.float32(DARKER)) & same
    things = (other >= np.float32(OTHER_COLOUR)) | (ratio > np.float32(BRIGHTER))
    return Ground(light, *(_opened(mask, ops) for mask in (shade, things)))


def casts(ground: Ground, ops: ArrayOps) -> list[Cast]:
    """The largest first. What is mostly surrounded by things is a part of them."""
    things = [ops.to_host(thing) for thing in components(ground.things, ops)]  # sync: 40 KB each
    taken = ops.to_host(ops.xp.maximum(ground.shade, ground.things)) > 0  # sync: 40 KB
    found: list[Cast] = []
    for mask in components(ground.shade, ops):
        own, reach = ops.to_host(mask) > 0, ops.to_host(ops.dilate(mask, REACH, 1)) > 0  # sync: 80 KB
        outline = reach & ~own
        if (outline & ~taken).sum() >= ON_GROUND * outline.sum():
            found.append(_cast(mask, _places(own), [_places(thing * reach) for thing in things], things))
    return [each for each in found if each.length is None or SHORTEST < each.length < LONGEST]


def components(mask: Matte, ops: ArrayOps) -> list[Matte]:
    """Those of u8 HW that are neither specks nor a large part of the picture, the largest first."""
    found = []
    for _ in range(MOST):
        largest = ops.largest_component(mask, 0)
        share = int(ops.histogram(largest)[1:].sum()) / largest.size  # sync: where to stop
        if share < SMALLEST or share == 0:
            break
        if share <= LARGEST:
            found.append(largest)
        mask = mask - largest
    return found


def _cast(mask: Matte, at: Floats, contacts: list[Floats], things: list[Matte]) -> Cast:
    """`contacts`: what of each of `things` is near the shadow. The higher in the picture, the less likely is ground."""
    middle = at.mean(axis=1)
    short, long, axis = _axes(at)
    elongation = np.sqrt(long / max(short, 1 / 12))
    height = mask.shape[0]
    weight = float(np.sqrt(at.shape[1]) * min(elongation, 4) * min(1, 0.3 + 1.4 * middle[1] / height))
    contact = max(range(len(things)), key=lambda index: contacts[index].shape[1], default=None)
    if contact is None or not contacts[contact].shape[1]:
        return Cast(mask, axis, weight * float(elongation > ROUND), None)
    away = middle - contacts[contact].mean(axis=1)
    away = away / max(float(np.hypot(*away)), 1e-6)
    along = axis * np.sign(axis @ away)
    certain = _rise(float(elongation), ROUND, LONG) * _rise(float(along @ away), ACROSS, ALONG)
    direction = certain * along + (1 - certain) * away
    direction = direction / max(float(np.hypot(*direction)), 1e-6)
    return Cast(mask, direction, weight, _length(at, direction, _places(things[contact])))


def _rise(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _length(at: Floats, direction: Floats, thrower: Floats) -> float:
    """From the thrower's foot to the tip, in heights of the thrower."""
    columns, rows = thrower
    low, high = rows.max(), rows.min()
    foot = np.array([columns[rows >= low - 0.1 * (low - high)].mean(), low], np.float32)
    return float(np.percentile(direction @ at - direction @ foot, 98) / max(low - high, 1))


def _axes(at: Floats) -> tuple[float, float, Floats]:
    """Variance along the short and the long axis, and the long one."""
    centred = at - at.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.T / at.shape[1])
    return float(values[0]), float(values[1]), np.asarray(vectors[:, 1], np.float32)


def _places(mask: NDArray[Any]) -> Floats:
    """x and y of what is not 0, 2 × n."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return np.stack([columns, rows]).astype(np.float32)


def _opened(mask: Matte, ops: ArrayOps) -> Matte:
    """Without specks; u8 of a boolean array."""
    return ops.dilate(ops.erode(mask * np.uint8(255), SQUARE, 1), SQUARE, 1)


def _within(reach: float, side: int) -> int:
    return 2 * min(max(1, round(reach)), side // 2) + 1
