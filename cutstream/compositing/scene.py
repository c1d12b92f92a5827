"""The composite's layers, lowest first: what it stands on, the shadow, the subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.compositing.background import Backdrop, colour_of, drawn, surroundings
from cutstream.compositing.harmonise import harmonise, wanted_harmony
from cutstream.compositing.perspective import Ground, parse_perspective
from cutstream.compositing.placement import Subject
from cutstream.compositing.shadows.light_estimation import lit
from cutstream.compositing.shadows.shadow import shadow, wanted_shadow
from cutstream.contract.colours import parse_colour
from cutstream.contract.messages import Request
from cutstream.contract.options import Background
from cutstream.images import Cutout, Matte, Pixels


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour, and how much of it there is: u8 HW, 0..255."""

    strength: Matte
    colour: Colour


@dataclass(frozen=True, slots=True)
class Scene:
    """All of the canvas's size. `base`: u8 HWC, a colour, or None where nothing is behind the subject."""

    base: Pixels | Colour | None
    shade: Shade | None
    subject: Subject


def staged(
    subject: Subject,
    photo: Subject | None,
    request: Request,
    ops: ArrayOps,
    backdrop: Backdrop | None = None,
    depth: Matte | None = None,
) -> Scene:
    """`subject` and `depth` are on the canvas; `photo` is what `background.blur` blurs, `backdrop` the picture of
    `background.image`; either is None where it is not asked for."""
    base = _base(request.background, subject.alpha.shape, photo, backdrop, ops)
    shade = _shade(subject, request, base, depth, ops)
    harmony = wanted_harmony(request.harmonise)
    if harmony is not None and base is not None and not isinstance(base, tuple):
        subject = Subject(harmonise(subject.pixels, subject.alpha, base, harmony, ops), subject.alpha)
    return Scene(base, shade, subject)


def flattened(scene: Scene, ops: ArrayOps) -> Pixels | Cutout:
    """One picture: RGB, or RGBA where nothing is behind the subject."""
    subject, base, shade = scene.subject, scene.base, scene.shade
    if base is None:
        return _rgba(subject, shade, ops)
    if isinstance(base, tuple):
        if shade is None:
            return ops.blend(subject.pixels, subject.alpha, base)
        base = plain(base, subject.alpha.shape, ops)
    if shade is not None:
        base = ops.blend(base, 255 - shade.strength, shade.colour)
    return ops.composite_over(subject.pixels, subject.alpha, base)


def plain(colour: Colour, shape: tuple[int, ...], ops: ArrayOps) -> Pixels:
    """u8 of this height and width × 3."""
    pixels: Pixels = ops.xp.empty((*shape[:2], 3), ops.xp.uint8)
    for channel, value in enumerate(colour):
        pixels[..., channel] = value
    return pixels


def _base(
    background: Background, shape: tuple[int, ...], photo: Subject | None, backdrop: Backdrop | None, ops: ArrayOps
) -> Pixels | Colour | None:
    height, width = shape
    colour = colour_of(background)
    if background.gradient is not None:
        return drawn(background.gradient, width, height, ops)
    if background.blur is not None and photo is not None:
        return surroundings(photo.pixels, photo.alpha, background.blur, width, height, ops)
    if backdrop is None:
        return colour
    return backdrop.fitted(width, height, background.fit, colour or (255, 255, 255))


def _shade(
    subject: Subject, request: Request, base: Pixels | Colour | None, depth: Matte | None, ops: ArrayOps
) -> Shade | None:
    how = wanted_shadow(request.shadow)
    if how is None:
        return None
    how, light = lit(how, None if isinstance(base, tuple) else base, ops)
    strength = shadow(subject.alpha, how, light, ops, depth, _ground(request, subject.alpha.shape))
    fading = np.rint(np.arange(256) * how.opacity).astype(np.uint8)
    return Shade(ops.lookup(strength, fading), parse_colour("shadow.color", how.color))


def _ground(request: Request, shape: tuple[int, ...]) -> Ground | None:
    height, width = shape
    return parse_perspective(request.perspective).on(width, height) if request.perspective else None


def _rgba(subject: Subject, shade: Shade | None, ops: ArrayOps) -> Cutout:
    """Subject over shadow, in straight alpha: the colours are mixed by what each adds to the whole."""
    if shade is None:
        return ops.rgba(subject.pixels, subject.alpha)
    xp = ops.xp
    alpha = subject.alpha.astype(xp.uint16)
    total = alpha + (shade.strength * (255 - alpha) + 127) // 255
    share = (alpha * 255 + total // 2) // xp.maximum(total, 1)
    return ops.rgba(ops.blend(subject.pixels, share.astype(xp.uint8), shade.colour), total.astype(xp.uint8))
