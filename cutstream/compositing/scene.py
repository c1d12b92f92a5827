"""Build a composite from its layers, lowest first: background, shadow, subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.compositing.background import BackgroundPicture, blur_surroundings, render_gradient
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.harmonise import harmonise
from cutstream.compositing.perspective import GroundLine, resolve_ground_line
from cutstream.compositing.shadows.light_estimation import resolve_light
from cutstream.compositing.shadows.shadow import render_shadow
from cutstream.compositing.specs import WHITE, BackgroundSpec, CompositionSpec, PerspectiveSpec, ShadowSpec
from cutstream.images import Cutout, Matte, Pixels


@dataclass(frozen=True, slots=True)
class ShadowLayer:
    """A shadow's colour, and its opacity at each pixel: `strength`, u8 HW."""

    strength: Matte
    colour: Colour


@dataclass(frozen=True, slots=True)
class Scene:
    """The layers, all of the canvas's size; `background` is u8 HWC, a plain colour, or None for transparency."""

    background: Pixels | Colour | None
    shadow: ShadowLayer | None
    subject: ForegroundLayer


def build_scene(
    subject: ForegroundLayer,
    spec: CompositionSpec,
    ops: ArrayOps,
    picture: BackgroundPicture | None = None,
    photo: ForegroundLayer | None = None,
    depth: Matte | None = None,
) -> Scene:
    """Draw the background and the shadow, and adapt the subject's colours.

    `subject` and `depth` (u8 HW, 255 nearest) are of the canvas's size. `photo` is needed for a blurred background,
    `picture` for a background picture.
    """
    height, width = subject.alpha.shape
    background = _draw_background(spec.background, width, height, picture, photo, ops)
    shadow = None
    if spec.shadow is not None:
        ground = _ground_line(spec.placement.perspective, width, height)
        shadow = _draw_shadow(subject.alpha, spec.shadow, background, depth, ground, ops)
    if spec.harmonise is not None and background is not None and not isinstance(background, tuple):
        adapted = harmonise(subject.pixels, subject.alpha, background, spec.harmonise, ops)
        subject = subject._replace(pixels=adapted)
    return Scene(background, shadow, subject)


def flatten(scene: Scene, ops: ArrayOps) -> Pixels | Cutout:
    """Merge the layers into one image: RGB, or RGBA if there is no background."""
    subject, background, shadow = scene.subject, scene.background, scene.shadow
    if background is None:
        return _flatten_transparent(subject, shadow, ops)
    if isinstance(background, tuple):
        if shadow is None:
            return ops.blend(subject.pixels, subject.alpha, background)
        background = solid_colour(background, subject.alpha.shape, ops)
    if shadow is not None:
        background = ops.blend(background, 255 - shadow.strength, shadow.colour)
    return ops.composite_over(subject.pixels, subject.alpha, background)


def solid_colour(colour: Colour, shape: tuple[int, ...], ops: ArrayOps) -> Pixels:
    """Return an image of one colour, u8 HWC; `shape` begins with its height and width."""
    pixels: Pixels = ops.xp.empty((*shape[:2], 3), ops.xp.uint8)
    for channel, value in enumerate(colour):
        pixels[..., channel] = value
    return pixels


def _draw_background(
    spec: BackgroundSpec,
    width: int,
    height: int,
    picture: BackgroundPicture | None,
    photo: ForegroundLayer | None,
    ops: ArrayOps,
) -> Pixels | Colour | None:
    if spec.gradient is not None:
        return render_gradient(spec.gradient, width, height, ops)
    if spec.blur is not None and photo is not None:
        return blur_surroundings(*photo, spec.blur, width, height, ops)
    if picture is None:
        return spec.colour
    return picture.fit(width, height, spec.fit, spec.colour or WHITE)


def _draw_shadow(
    alpha: Matte,
    spec: ShadowSpec,
    background: Pixels | Colour | None,
    depth: Matte | None,
    ground: GroundLine | None,
    ops: ArrayOps,
) -> ShadowLayer:
    spec, light = resolve_light(spec, None if isinstance(background, tuple) else background, ops)
    strength = render_shadow(alpha, spec, light, ops, depth, ground)
    opacity_table = np.rint(np.arange(256) * spec.opacity).astype(np.uint8)
    return ShadowLayer(ops.lookup(strength, opacity_table), spec.colour)


def _ground_line(spec: PerspectiveSpec | None, width: int, height: int) -> GroundLine | None:
    return None if spec is None else resolve_ground_line(spec, width, height)


def _flatten_transparent(subject: ForegroundLayer, shadow: ShadowLayer | None, ops: ArrayOps) -> Cutout:
    """Put the subject over its shadow in straight alpha: colours mix by what each adds to the whole."""
    if shadow is None:
        return ops.rgba(*subject)
    xp = ops.xp
    alpha = subject.alpha.astype(xp.uint16)
    total = alpha + (shadow.strength * (255 - alpha) + 127) // 255
    share = (alpha * 255 + total // 2) // xp.maximum(total, 1)
    return ops.rgba(ops.blend(subject.pixels, share.astype(xp.uint8), shadow.colour), total.astype(xp.uint8))
