"""The silhouette laid over the ground: sheared, foreshortened, and softer and fainter the farther from the subject.

The subject is taken for an upright board of some thickness. Softness grows with the distance from what casts the
shadow, as the penumbra of a light of some width does; strength fades since more and more other light comes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats, Homography
from cutstream.compositing.shadows.blur import blurred
from cutstream.compositing.shadows.contact import Base, contact
from cutstream.compositing.shadows.depth_layers import Part, parts
from cutstream.contract.options import Light
from cutstream.images import Matte
from cutstream.images.geometry import Box

# A shadow straight to the side would be a line: a body has some depth.
FLATTEST = 0.2
LENGTH = 0.5  # in heights of the subject, where the light has none
SHORTEST = 0.01  # heights of the subject: what is shorter does not show beside the contact
THICKNESS = 0.08  # of the subject's smaller side

NEARNESS = 0.25  # how much wider what is a subject's height nearer to the viewer appears
PENUMBRA = 0.05  # standard deviation at the tip, as a share of the shadow's length
AT_THE_BASE, MIDDLE = 0.25, 0.45  # share of the tip's deviation at the base; where between the two it is halfway
FADE = 0.55  # what of the strength is lost at the tip
FLOATING = 0.9  # strength of the contact's darkness


@dataclass(frozen=True, slots=True)
class Ray:
    """Where a subject's top throws its shadow: `right` and `down` in heights of the subject, `down` never 0."""

    right: float
    down: float

    @property
    def nearness(self) -> float:
        """Bounded, so that no shadow reaches the horizon."""
        return min(NEARNESS, 0.5 / abs(self.down))

    def to_subject(self, centre: float, base: float, tall: float) -> Homography:
        """Takes a point of the ground to the point of the board that shades it, in pixels; the base is level."""
        scale = np.array([0, self.nearness / tall, 1 - self.nearness * base / tall])
        at_tip = 1 + self.nearness * self.down
        across = np.array([1, -self.right / self.down, self.right / self.down * base - centre])
        above = np.array([0, 1, -base]) * at_tip / self.down
        return np.stack([across + centre * scale, base * scale - above, scale])

    def travelled(self, rows: Floats, base: float, tall: float, ops: ArrayOps) -> Floats:
        """From 0 at the base to 1 at the tip of the shadow, by the row of the picture."""
        nearer = (rows - np.float32(base)) * np.float32(1 / tall)
        at_tip = 1 + self.nearness * self.down
        # The tip's scale is at least 0.5; above it the ground comes to its horizon.
        scale = ops.xp.maximum(nearer * np.float32(self.nearness) + np.float32(1), np.float32(0.1))
        return ops.xp.clip(nearer * np.float32(at_tip / self.down) / scale, 0, 1)  # type: ignore[no-any-return]


class Plane(NamedTuple):
    """What of alpha casts a shadow, and where each point of the ground finds it."""

    alpha: Matte
    to_subject: Homography

    def sheared(self, shear: Homography) -> Plane:
        """As seen in the picture, where `shear` makes the base level."""
        return Plane(self.alpha, np.linalg.inv(shear) @ self.to_subject @ shear)


def direction(angle: float) -> tuple[float, float]:
    """Right and down, of length 1: away from a light at this angle (`Light.angle`)."""
    return -math.sin(math.radians(angle)), math.cos(math.radians(angle))


def cast(
    alpha: Matte, box: Box, base: Base, light: Light, softness: float | None, depth: Matte | None, ops: ArrayOps
) -> Floats:
    """f32 HW, 0..1, of alpha's size. `softness` is the standard deviation at the tip, in pixels.

    Where the base is not level, all is as if the picture were sheared until it is, and depth is not asked: the base
    says what is nearer.
    """
    standing = contact(alpha, box, base, None, ops) * np.float32(FLOATING)
    length = LENGTH if light.length is None else light.length
    if length < SHORTEST:
        return standing
    ray = _ray(light.angle, length, base.slope)
    centre = (box.left + box.right) / 2
    thickness = THICKNESS * min(box.width, box.height)
    together = [Part(alpha, base.at(centre))]
    apart = together if depth is None or base.slope else parts(alpha, box, depth, thickness, ops)
    shear = np.array([[1, 0, 0], [-base.slope, 1, base.slope * centre], [0, 0, 1]])
    tall = max(box.height - abs(base.slope) * box.width, box.height / 4)
    planes = [Plane(part.alpha, ray.to_subject(centre, part.base - thickness / 2, tall)) for part in apart]
    laid = _laid([plane.sheared(shear) for plane in planes], thickness, ops)
    sigma = PENUMBRA * length * tall if softness is None else softness
    columns = ops.xp.arange(alpha.shape[1], dtype=np.float32) - np.float32(centre - 0.5)
    rows = ops.xp.arange(alpha.shape[0], dtype=np.float32)[:, None] - columns * np.float32(base.slope)
    travelled = ray.travelled(rows, base.at(centre) - thickness / 2, tall, ops)
    return ops.xp.maximum(_with_penumbra(laid, travelled, sigma, ops), standing)  # type: ignore[no-any-return]


def _ray(angle: float, length: float, slope: float) -> Ray:
    right, down = direction(angle)
    down -= slope * right
    if abs(down) < FLATTEST:
        down = math.copysign(FLATTEST, down)
    return Ray(right * length, down * length)


def _laid(planes: list[Plane], thickness: float, ops: ArrayOps) -> Matte:
    """The outline on the ground, sharp. A thick board's shadow is swept from its front to its back."""
    height, width = planes[0].alpha.shape
    together = reduce(ops.xp.maximum, (ops.warp(*plane, width, height) for plane in planes))
    return ops.dilate(together, np.ones((2 * round(thickness / 2) + 1, 1), np.uint8), 1)


def _with_penumbra(laid: Matte, travelled: Floats, sigma: float, ops: ArrayOps) -> Floats:
    """Between three blurs, by the way that the shadow has travelled (f32 HW, 0..1)."""
    xp = ops.xp
    sharp = xp.clip(1 - travelled * np.float32(1 / MIDDLE), 0, 1)
    far = xp.clip((travelled - np.float32(MIDDLE)) * np.float32(1 / (1 - MIDDLE)), 0, 1)
    strength = (1 - travelled * np.float32(FADE)) * np.float32(1 / 255)
    halfway = (1 + AT_THE_BASE) / 2
    blend = blurred(laid, AT_THE_BASE * sigma, ops) * (sharp * strength)
    blend += blurred(laid, halfway * sigma, ops) * ((1 - sharp - far) * strength)
    blend += blurred(laid, sigma, ops) * (far * strength)
    return blend  # type: ignore[no-any-return]
