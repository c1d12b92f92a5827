"""Lay the subject's silhouette over the ground: sheared, foreshortened, softer and fainter with distance.

The subject is taken for an upright board of some thickness. The shadow gets softer with the distance from the part that
casts it, as the penumbra of a light of some width does, and fainter as more and more other light comes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats, Homography
from cutstream.compositing.shadows.blur import gaussian_blur
from cutstream.compositing.shadows.contact import Baseline, contact_shadow
from cutstream.compositing.shadows.depth_layers import DepthLayer, split_by_depth
from cutstream.compositing.specs import Light
from cutstream.images import Matte
from cutstream.images.geometry import Box

MIN_SLANT = 0.2  # a shadow straight to the side would be a line, but a body has some depth
DEFAULT_LENGTH = 0.5  # in heights of the subject, if the light has none
MIN_LENGTH = 0.01  # in heights of the subject: a shorter shadow does not show beside the contact
THICKNESS = 0.08  # share of the subject's smaller side

NEARNESS = 0.25  # how much wider a point appears that is a subject's height nearer to the viewer
PENUMBRA = 0.05  # standard deviation at the tip, as a share of the shadow's length
# Share of the tip's deviation at the base, and the point between base and tip at which it is halfway.
BASE_PENUMBRA, MIDDLE = 0.25, 0.45
FADE = 0.55  # share of the strength that is lost at the tip
CONTACT_STRENGTH = 0.9


@dataclass(frozen=True, slots=True)
class ShadowRay:
    """The way from a subject's top to its shadow: `right` and `down` in heights of the subject; `down` is never 0."""

    right: float
    down: float

    @property
    def nearness(self) -> float:
        """`NEARNESS`, bounded so that no shadow reaches the horizon."""
        return min(NEARNESS, 0.5 / abs(self.down))

    def to_board(self, centre: float, base: float, board_height: float) -> Homography:
        """Return the matrix from a point of the ground to the board's point that shades it, in pixels.

        The board stands on the level row `base`, with its middle in column `centre`.
        """
        scale = np.array([0, self.nearness / board_height, 1 - self.nearness * base / board_height])
        at_tip = 1 + self.nearness * self.down
        across = np.array([1, -self.right / self.down, self.right / self.down * base - centre])
        above = np.array([0, 1, -base]) * at_tip / self.down
        return np.stack([across + centre * scale, base * scale - above, scale])

    def travelled(self, rows: Floats, base: float, board_height: float, ops: ArrayOps) -> Floats:
        """Return for each row of the image how far its shadow has come: from 0 at the base to 1 at the tip."""
        nearer = (rows - np.float32(base)) * np.float32(1 / board_height)
        at_tip = 1 + self.nearness * self.down
        # The tip's scale is at least 0.5; above it the ground comes to its horizon.
        scale = ops.xp.maximum(nearer * np.float32(self.nearness) + np.float32(1), np.float32(0.1))
        return ops.xp.clip(nearer * np.float32(at_tip / self.down) / scale, 0, 1)  # type: ignore[no-any-return]


class ShadowPlane(NamedTuple):
    """The alpha that casts a shadow, and the matrix from each point of the ground to the point that shades it."""

    alpha: Matte
    to_board: Homography

    def sheared(self, shear: Homography) -> ShadowPlane:
        """Return the plane as the image shows it, if `shear` makes the baseline level."""
        return ShadowPlane(self.alpha, np.linalg.inv(shear) @ self.to_board @ shear)


def shadow_direction(angle: float) -> tuple[float, float]:
    """Return the direction away from a light at this angle (`Light.angle`): right and down, of length 1."""
    return -math.sin(math.radians(angle)), math.cos(math.radians(angle))


def cast_shadow(
    alpha: Matte,
    box: Box,
    baseline: Baseline,
    light: Light,
    softness: float | None,
    depth: Matte | None,
    ops: ArrayOps,
) -> Floats:
    """Return the darkness, f32 HW in 0..1 of alpha's size; `softness` is the standard deviation at the tip, in pixels.

    If the baseline is not level, all is done as if the image were sheared until it is, and `depth` is not used: the
    baseline says which parts are nearer.
    """
    contact = contact_shadow(alpha, box, baseline, None, ops) * np.float32(CONTACT_STRENGTH)
    length = DEFAULT_LENGTH if light.length is None else light.length
    if length < MIN_LENGTH:
        return contact
    ray = _ray(light.angle, length, baseline.slope)
    centre = (box.left + box.right) / 2
    thickness = THICKNESS * min(box.width, box.height)
    if depth is None or baseline.slope:
        layers = [DepthLayer(alpha, baseline.at(centre))]
    else:
        layers = split_by_depth(alpha, box, depth, thickness, ops)
    shear = np.array([[1, 0, 0], [-baseline.slope, 1, baseline.slope * centre], [0, 0, 1]])
    board_height = max(box.height - abs(baseline.slope) * box.width, box.height / 4)
    planes = [
        ShadowPlane(layer.alpha, ray.to_board(centre, layer.ground_row - thickness / 2, board_height))
        for layer in layers
    ]
    outline = _lay_on_ground([plane.sheared(shear) for plane in planes], thickness, ops)
    sigma = PENUMBRA * length * board_height if softness is None else softness
    columns = ops.xp.arange(alpha.shape[1], dtype=np.float32) - np.float32(centre - 0.5)
    rows = ops.xp.arange(alpha.shape[0], dtype=np.float32)[:, None] - columns * np.float32(baseline.slope)
    travelled = ray.travelled(rows, baseline.at(centre) - thickness / 2, board_height, ops)
    return ops.xp.maximum(_add_penumbra(outline, travelled, sigma, ops), contact)  # type: ignore[no-any-return]


def _ray(angle: float, length: float, slope: float) -> ShadowRay:
    right, down = shadow_direction(angle)
    down -= slope * right
    if abs(down) < MIN_SLANT:
        down = math.copysign(MIN_SLANT, down)
    return ShadowRay(right * length, down * length)


def _lay_on_ground(planes: list[ShadowPlane], thickness: float, ops: ArrayOps) -> Matte:
    """Draw the sharp outline on the ground. A thick board's shadow is swept from its front to its back."""
    height, width = planes[0].alpha.shape
    together = reduce(ops.xp.maximum, (ops.warp(*plane, width, height) for plane in planes))
    return ops.dilate(together, np.ones((2 * round(thickness / 2) + 1, 1), np.uint8), 1)


def _add_penumbra(outline: Matte, travelled: Floats, sigma: float, ops: ArrayOps) -> Floats:
    """Blend three blurs by how far the shadow has travelled (f32 HW, 0..1), and fade it."""
    xp = ops.xp
    sharp = xp.clip(1 - travelled * np.float32(1 / MIDDLE), 0, 1)
    far = xp.clip((travelled - np.float32(MIDDLE)) * np.float32(1 / (1 - MIDDLE)), 0, 1)
    strength = (1 - travelled * np.float32(FADE)) * np.float32(1 / 255)
    halfway = (1 + BASE_PENUMBRA) / 2
    blend = gaussian_blur(outline, BASE_PENUMBRA * sigma, ops) * (sharp * strength)
    blend += gaussian_blur(outline, halfway * sigma, ops) * ((1 - sharp - far) * strength)
    blend += gaussian_blur(outline, sigma, ops) * (far * strength)
    return blend  # type: ignore[no-any-return]
