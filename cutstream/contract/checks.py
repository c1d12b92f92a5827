"""All that can be said of a request's options without its photo."""

from __future__ import annotations

from cutstream.compositing.background import TRANSPARENT, colour_of
from cutstream.compositing.harmonise import check_harmonise
from cutstream.compositing.perspective import parse_perspective
from cutstream.compositing.shadows.shadow import check_shadow, wanted_shadow
from cutstream.contract.colours import parse_colour
from cutstream.contract.geometry import parse_canvas, parse_margin, parse_position, parse_region, parse_scale
from cutstream.contract.messages import Request
from cutstream.errors import InvalidOption
from cutstream.matting.presets import check_work, parameters


def check_options(request: Request) -> None:
    """Raises `InvalidOption` or `RegionOutOfBounds`."""
    check_work(parameters(request.refine), megapixels=1.0)
    if request.roi is not None:
        parse_region(request.roi)
    if request.crop_margin is not None:
        if not request.crop:
            raise InvalidOption("crop_margin does nothing without `crop`: set it to true")
        parse_margin(request.crop_margin)
    _check_placement(request)
    _check_background(request)
    _check_shadow(request)
    check_harmonise(request)


def _check_placement(request: Request) -> None:
    if request.canvas is not None:
        parse_canvas(request.canvas)
    if request.scale is not None:
        parse_scale(request.scale)
    if request.position is not None:
        parse_position(request.position)
    if request.perspective is not None:
        if request.scale is not None or request.position is not None:
            raise InvalidOption("perspective places the subject by its baseline: leave `scale` and `position` out")
        parse_perspective(request.perspective)


def _check_background(request: Request) -> None:
    background = request.background
    colour_of(background)
    for text in background.gradient.colors if background.gradient else ():
        parse_colour("background.gradient", text)
    named = [name for name in ("gradient", "image", "blur") if getattr(background, name) is not None]
    if len(named) > 1:
        raise InvalidOption(f"background: {' and '.join(named)} exclude each other; give one of them")
    if named and background.color == TRANSPARENT:
        raise InvalidOption(f"background.color 'transparent' is for a composite on nothing, not on {named[0]}")
    if background.fit != "cover" and background.image is None:
        raise InvalidOption("background.fit does nothing without background.image")


def _check_shadow(request: Request) -> None:
    how = wanted_shadow(request.shadow)
    if how is None:
        return
    check_shadow(how, request.background)
    if how.depth and request.perspective is not None:
        raise InvalidOption("shadow.depth does not go with `perspective`, which stands the subject on one line")
