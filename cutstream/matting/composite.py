"""From a photo and its full-size matte to the pictures that the request asks for."""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.arrays.ops import ArrayOps
from cutstream.errors import InvalidOption, UnknownForeground
from cutstream.images import Cutout, Image, Matte, Pixels
from cutstream.matting.colors import parse_colour
from cutstream.matting.geometry import Box, limited, parse_margin, parse_region
from cutstream.matting.measure import measure
from cutstream.matting.presets import check_work, parameters
from cutstream.messages import BoundingBox, OutputName, Request

MAX_PIXELS = {"preview": 250_000, "medium": 1_500_000, "hd": 4_000_000, "full": None, "auto": None}


@dataclass(frozen=True, slots=True)
class Layer:
    """`pixels`: u8, C-contiguous; HW grey, HWC RGB, or HWC RGBA with straight alpha."""

    name: OutputName
    pixels: Pixels | Matte | Cutout


@dataclass(frozen=True, slots=True)
class Composition:
    """`bbox` in pixels of the source; `coverage` 0..1, of the whole source (see `Measurement`)."""

    outputs: tuple[Layer, ...]
    bbox: BoundingBox | None
    coverage: float


def check_options(request: Request) -> None:
    """All that can be said without the photo. Raises `InvalidOption` or `RegionOutOfBounds`."""
    check_work(parameters(request.refine), megapixels=1.0)
    if request.roi is not None:
        parse_region(request.roi)
    if request.crop_margin is not None:
        if not request.crop:
            raise InvalidOption("crop_margin does nothing without `crop`: set it to true")
        parse_margin(request.crop_margin)
    _background(request)


def compose(image: Image, matte: Matte, request: Request, ops: ArrayOps) -> Composition:
    """The matte is u8 HW of the photo's size. Raises what `check_options` raises, and `UnknownForeground`."""
    alpha = _within_roi(_with_existing_alpha(image, matte, request, ops), request, ops)
    found = measure(alpha, ops)
    frame = _frame(image, found.box, request)
    pixels, alpha = image.pixels[frame.slices], alpha[frame.slices]
    width, height = limited(frame.width, frame.height, MAX_PIXELS[request.size])
    if (width, height) != (frame.width, frame.height):
        pixels, alpha = ops.shrink(pixels, alpha, width, height)
    outputs = tuple(Layer(name, _draw(name, pixels, alpha, request, ops)) for name in request.outputs)
    return Composition(outputs, _bounding_box(found.box), found.coverage)


def _draw(name: OutputName, pixels: Pixels, alpha: Matte, request: Request, ops: ArrayOps) -> Pixels:
    if name == "composite":
        return ops.blend(pixels, alpha, _background(request))
    if name == "mask" or request.channels == "alpha":
        return ops.xp.ascontiguousarray(alpha)  # type: ignore[no-any-return]
    return ops.rgba(pixels, alpha)


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


def _frame(image: Image, subject: Box | None, request: Request) -> Box:
    if not request.crop:
        return Box(0, 0, image.width, image.height)
    if subject is None:
        raise UnknownForeground("no subject was found to crop to; without `crop` the whole picture is returned")
    return parse_margin(request.crop_margin or "0").around(subject, image.width, image.height)


def _background(request: Request) -> tuple[int, int, int]:
    return parse_colour("background.color", request.background.color)


def _bounding_box(box: Box | None) -> BoundingBox | None:
    if box is None:
        return None
    return BoundingBox(
        foreground_left=box.left,
        foreground_top=box.top,
        foreground_width=box.width,
        foreground_height=box.height,
    )
