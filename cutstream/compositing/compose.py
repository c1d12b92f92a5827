"""From a photo and its full-size matte to the pictures that the request asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.background import Backdrop
from cutstream.compositing.inpaint import without_subject
from cutstream.compositing.overlay import overlay
from cutstream.compositing.perspective import stand
from cutstream.compositing.placement import MAX_PIXELS, Placement, Subject, place, place_plane, placement
from cutstream.compositing.scene import Scene, flattened, plain, staged
from cutstream.contract.geometry import parse_margin, parse_region
from cutstream.contract.messages import BoundingBox, OutputName, Request
from cutstream.errors import UnknownForeground
from cutstream.images import Cutout, Image, Matte, Pixels
from cutstream.images.geometry import Box, limited_size
from cutstream.matting.foreground import foreground
from cutstream.matting.measure import measure


@dataclass(frozen=True, slots=True)
class Layer:
    """`pixels`: u8, C-contiguous; HW grey, HWC RGB, or HWC RGBA with straight alpha."""

    name: str
    pixels: Pixels | Matte | Cutout


@dataclass(frozen=True, slots=True)
class Output:
    """One file: a picture is its only layer, an archive has several, lowest first."""

    name: OutputName
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """`bbox` in pixels of the source; `coverage` 0..1, of the whole source (see `Measurement`)."""

    outputs: tuple[Output, ...]
    bbox: BoundingBox
    coverage: float


def compose(
    image: Image,
    matte: Matte,
    request: Request,
    ops: ArrayOps,
    backdrop: Backdrop | None = None,
    depth: Matte | None = None,
) -> Composition:
    """The matte is u8 HW of the photo's size; so is the depth, 255 nearest, for shadows that ask for it.

    Raises what `check_options` raises, and `UnknownForeground`.
    """
    alpha = _within_roi(_with_existing_alpha(image, matte, request, ops), request, ops)
    found = measure(alpha, ops)
    if found.box is None:
        raise UnknownForeground("no subject was found; try another profile, or set `roi` to where it is")
    frame = _frame(image, found.box, request)
    table = _Table(Subject(image.pixels, alpha), frame, found.box, request, ops, backdrop, depth)
    outputs = tuple(Output(name, DRAWING[name](table)) for name in request.outputs)
    return Composition(outputs, _bounding_box(found.box), found.coverage)


@dataclass(frozen=True)
class _Table:
    """What the outputs of one photo are made of, each made once and only when an output needs it.

    `frame` is what of the photo is kept, `box` the subject's; both in the photo's pixels, as `whole` and `depth` are.
    """

    whole: Subject
    frame: Box
    box: Box
    request: Request
    ops: ArrayOps
    backdrop: Backdrop | None
    depth: Matte | None

    @cached_property
    def placement(self) -> Placement:
        return placement(self.frame, self.box, self.request)

    @cached_property
    def framed(self) -> Subject:
        return Subject(self.whole.pixels[self.frame.slices], self.whole.alpha[self.frame.slices])

    @cached_property
    def photo(self) -> Subject:
        """The frame of the photo itself, wherever on the canvas its subject goes."""
        width, height = self.frame.width, self.frame.height
        size = Box(0, 0, *limited_size(width, height, MAX_PIXELS[self.request.size]))
        where = Placement(size.width, size.height, Box(0, 0, width, height), size)
        moved = where != self.placement or self.request.perspective is not None
        return place(self.framed, where, self.ops) if moved else self.placed

    @cached_property
    def placed(self) -> Subject:
        """On the canvas, in the photo's own colours."""
        where, how = self.placement, self.request.perspective
        if how is None:
            return place(self.framed, where, self.ops)
        return Subject(*stand(*self.whole, self.box, how, where.width, where.height, self.ops))

    @cached_property
    def subject(self) -> Subject:
        """On the canvas, without the old background's colours where that is asked for."""
        if not self.request.decontaminate:
            return self.placed
        return Subject(foreground(*self.placed, self.ops), self.placed.alpha)

    @cached_property
    def scene(self) -> Scene:
        depth = None if self.depth is None else place_plane(self.depth[self.frame.slices], self.placement, self.ops)
        photo = None if self.request.background.blur is None else self.photo
        return staged(self.subject, photo, self.request, self.ops, self.backdrop, depth)


def _cutout(table: _Table) -> tuple[Layer, ...]:
    pixels, alpha = table.subject
    if table.request.channels == "alpha":
        return _mask(table)
    if table.request.format == "zip":
        return Layer("color", table.ops.xp.ascontiguousarray(pixels)), *_mask(table)
    return (Layer("cutout", table.ops.rgba(pixels, alpha)),)


def _mask(table: _Table) -> tuple[Layer, ...]:
    return (Layer("alpha", table.ops.xp.ascontiguousarray(table.subject.alpha)),)


def _composite(table: _Table) -> tuple[Layer, ...]:
    return (Layer("composite", flattened(table.scene, table.ops)),)


def _overlay(table: _Table) -> tuple[Layer, ...]:
    return (Layer("overlay", overlay(*table.photo, table.ops)),)


def _background(table: _Table) -> tuple[Layer, ...]:
    return (Layer("background", without_subject(*table.photo, table.request.inpaint, table.ops)),)


def _layers(table: _Table) -> tuple[Layer, ...]:
    scene, ops = table.scene, table.ops
    shape, layers = scene.subject.alpha.shape, []
    if scene.base is not None:
        base = plain(scene.base, shape, ops) if isinstance(scene.base, tuple) else scene.base
        layers.append(Layer("background", base))
    if scene.shade is not None:
        layers.append(Layer("shadow", ops.rgba(plain(scene.shade.colour, shape, ops), scene.shade.strength)))
    return *layers, Layer("cutout", ops.rgba(*scene.subject))


DRAWING: dict[OutputName, Callable[[_Table], tuple[Layer, ...]]] = {
    "cutout": _cutout,
    "mask": _mask,
    "composite": _composite,
    "overlay": _overlay,
    "background": _background,
    "layers": _layers,
}


def _with_existing_alpha(image: Image, matte: Matte, request: Request, ops: ArrayOps) -> Matte:
    if image.alpha is None or request.existing_alpha == "ignore":
        return matte
    if request.existing_alpha == "keep":
        return image.alpha
    product = ops.xp.multiply(matte, image.alpha, dtype=ops.xp.uint16)
    return ((product + 127) // 255).astype(ops.xp.uint8)  # type: ignore[no-any-return]


def _within_roi(alpha: Matte, request: Request, ops: ArrayOps) -> Matte:
    if request.roi is None:
        return alpha
    height, width = alpha.shape
    inside = parse_region(request.roi).on(width, height).slices
    kept = ops.xp.zeros_like(alpha)
    kept[inside] = alpha[inside]
    return kept  # type: ignore[no-any-return]


def _frame(image: Image, subject: Box, request: Request) -> Box:
    if not request.crop:
        return Box(0, 0, image.width, image.height)
    return parse_margin(request.crop_margin or "0").around(subject, image.width, image.height)


def _bounding_box(box: Box) -> BoundingBox:
    return BoundingBox(
        foreground_left=box.left,
        foreground_top=box.top,
        foreground_width=box.width,
        foreground_height=box.height,
    )
