"""Draw the images that a request asks for, from a photo and its full-size matte."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.background import BackgroundPicture
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.inpaint import remove_subject
from cutstream.compositing.overlay import overlay
from cutstream.compositing.perspective import stand
from cutstream.compositing.placement import own_placement, place, place_plane, resolve_placement
from cutstream.compositing.scene import Scene, build_scene, flatten, solid_colour
from cutstream.compositing.specs import SCENE_OUTPUTS, CompositionSpec, CutoutForm, ExistingAlpha, OutputName
from cutstream.errors import UnknownForeground
from cutstream.images import Cutout, Image, Matte, Pixels
from cutstream.images.geometry import Box, Margin, Region
from cutstream.matting.foreground import estimate_foreground
from cutstream.matting.measure import VISIBLE, measure

_TRANSPARENT_BORDER = 0.25  # a portrait that touches one side leaves more, rounded corners leave less


@dataclass(frozen=True, slots=True)
class Layer:
    """One image: `pixels` is u8, C-contiguous; HW grey, HWC RGB, or HWC RGBA with straight alpha."""

    name: str
    pixels: Pixels | Matte | Cutout


@dataclass(frozen=True, slots=True)
class Output:
    """One file: an image has one layer, an archive has several, lowest first."""

    name: OutputName
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """The outputs; the subject's box, in pixels of the photo; and the share of the photo that is subject, 0..1."""

    outputs: tuple[Output, ...]
    box: Box
    coverage: float


def compose(
    image: Image,
    matte: Matte,
    spec: CompositionSpec,
    ops: ArrayOps,
    picture: BackgroundPicture | None = None,
    depth: Matte | None = None,
) -> Composition:
    """Draw the outputs of `spec`, each intermediate image once and only if an output needs it.

    `matte` and `depth` (255 is nearest; for shadows by depth) are u8 HW of the photo's size. `picture` is the
    background's. Raises `UnknownForeground` if there is no subject, `RegionOutOfBounds` if the region leaves
    the photo, and `InvalidOption` if the subject cannot be placed.
    """
    alpha = combine_with_existing(matte, image.alpha, spec.existing_alpha, ops)
    alpha = restrict_to_region(alpha, spec.region, ops)
    measured = measure(alpha, ops)
    if measured.box is None:
        raise UnknownForeground("no subject was found; try another profile, or set `roi` to where it is")

    box = measured.box
    frame = crop_frame(image, box, spec.crop)
    placement = resolve_placement(frame, box, spec.placement)
    whole = ForegroundLayer(image.pixels, alpha)

    # Each step below runs at most once, and only if an output needs what it makes.
    @cache
    def placed() -> ForegroundLayer:
        """Put the subject on its canvas, in the photo's own colours."""
        if spec.placement.perspective is None:
            return place(whole.crop(frame), placement, ops)
        return stand(whole, box, spec.placement.perspective, placement.width, placement.height, ops)

    @cache
    def decontaminated() -> ForegroundLayer:
        """Free the placed subject of the old background's colours."""
        layer = placed()
        return layer._replace(pixels=estimate_foreground(*layer, ops))

    def foreground(outputs: Collection[OutputName]) -> ForegroundLayer:
        return placed() if spec.decontaminated.isdisjoint(outputs) else decontaminated()

    @cache
    def photo() -> ForegroundLayer:
        """Scale the photo's own frame, wherever on the canvas its subject goes."""
        unmoved = own_placement(frame, spec.placement.max_pixels)
        if unmoved == placement and spec.placement.perspective is None:
            return placed()
        return place(whole.crop(frame), unmoved, ops)

    @cache
    def scene() -> Scene:
        """Draw the background, the shadow and the subject of the composite."""
        placed_depth = None if depth is None else place_plane(depth[frame.slices], placement, ops)
        blurred_photo = None if spec.background.blur is None else photo()
        return build_scene(foreground(SCENE_OUTPUTS), spec, ops, picture, blurred_photo, placed_depth)

    def draw(output: OutputName) -> tuple[Layer, ...]:
        match output:
            case "cutout":
                return draw_cutout(foreground({"cutout"}), spec.cutout_form, ops)
            case "mask":
                return (alpha_layer(placed(), ops),)
            case "composite":
                return (Layer("composite", flatten(scene(), ops)),)
            case "overlay":
                return (Layer("overlay", overlay(*photo(), ops)),)
            case "background":
                return (Layer("background", remove_subject(*photo(), spec.inpaint, ops)),)
            case "layers":
                return draw_layers(scene(), ops)

    return Composition(tuple(Output(name, draw(name)) for name in spec.outputs), box, measured.coverage)


def combine_with_existing(matte: Matte, existing: Matte | None, rule: ExistingAlpha, ops: ArrayOps) -> Matte:
    """Use the photo's own alpha (u8 HW) as `rule` says: instead of the matte, multiplied with it, or not at all."""
    if existing is None or rule == "ignore" or (rule == "auto" and not is_cut_out(existing, ops)):
        return matte
    if rule in ("auto", "keep"):
        return existing
    product = ops.xp.multiply(matte, existing, dtype=ops.xp.uint16)
    return ((product + 127) // 255).astype(ops.xp.uint8)  # type: ignore[no-any-return]


def is_cut_out(alpha: Matte, ops: ArrayOps) -> bool:
    """Tell whether a photo with this alpha is cut out already: much of its border is transparent.

    Rounded corners and holes do not count. What is behind transparent pixels may be anything, so that a network finds
    subjects there.
    """
    sides = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
    border = np.concatenate([ops.to_host(side) for side in sides])  # sync: whether to use the alpha at all
    return bool(np.mean(border < VISIBLE) >= _TRANSPARENT_BORDER)


def restrict_to_region(alpha: Matte, region: Region | None, ops: ArrayOps) -> Matte:
    """Set alpha to 0 outside the region. Raises `RegionOutOfBounds` or `InvalidOption`."""
    if region is None:
        return alpha
    height, width = alpha.shape
    inside = region.on(width, height).slices
    kept = ops.xp.zeros_like(alpha)
    kept[inside] = alpha[inside]
    return kept  # type: ignore[no-any-return]


def crop_frame(image: Image, subject: Box, margin: Margin | None) -> Box:
    """Return the part of the photo that is kept: the subject with its margin, or without a margin the whole photo."""
    if margin is None:
        return Box(0, 0, image.width, image.height)
    return margin.around(subject, image.width, image.height)


def draw_cutout(subject: ForegroundLayer, form: CutoutForm, ops: ArrayOps) -> tuple[Layer, ...]:
    match form:
        case "alpha":
            return (alpha_layer(subject, ops),)
        case "separate":
            return Layer("color", ops.xp.ascontiguousarray(subject.pixels)), alpha_layer(subject, ops)
        case "rgba":
            return (Layer("cutout", ops.rgba(*subject)),)


def draw_layers(scene: Scene, ops: ArrayOps) -> tuple[Layer, ...]:
    """Return the scene's layers, lowest first, all of the canvas's size."""
    shape, layers = scene.subject.alpha.shape, []
    background = scene.background
    if background is not None:
        drawn = solid_colour(background, shape, ops) if isinstance(background, tuple) else background
        layers.append(Layer("background", drawn))
    if scene.shadow is not None:
        colour = solid_colour(scene.shadow.colour, shape, ops)
        layers.append(Layer("shadow", ops.rgba(colour, scene.shadow.strength)))
    return *layers, Layer("cutout", ops.rgba(*scene.subject))


def alpha_layer(subject: ForegroundLayer, ops: ArrayOps) -> Layer:
    return Layer("alpha", ops.xp.ascontiguousarray(subject.alpha))
