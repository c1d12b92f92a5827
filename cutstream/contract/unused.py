"""Refuse options that do nothing: a request that asks for something and does not get it has a mistake in it.

The message begins with the option and says what would make it count. An option that is given its default value is not
seen, because a request does not tell it from one that is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cutstream.compositing.specs import COLOURED_OUTPUTS, SCENE_OUTPUTS, OutputName
from cutstream.contract.messages import Request
from cutstream.contract.options import Background, Gradient, Light, RefineParameters, Shadow
from cutstream.errors import InvalidOption

if TYPE_CHECKING:  # the recipe's parser uses this module
    from cutstream.contract.recipe import EncodingSpec, Recipe

_PLACED: frozenset[OutputName] = frozenset({"cutout", "mask", "composite", "layers"})

# The outputs that each option changes. A request without any of them would ignore the option in silence.
_CHANGED_BY: Mapping[str, frozenset[OutputName]] = {
    "channels": frozenset({"cutout"}),
    "scale": _PLACED,
    "position": _PLACED,
    "canvas": _PLACED,
    "perspective": _PLACED,
    "decontaminate": COLOURED_OUTPUTS,
    "background": SCENE_OUTPUTS,
    "shadow": SCENE_OUTPUTS,
    "harmonise": SCENE_OUTPUTS,
    "inpaint": frozenset({"background"}),
}

_DEFAULTS = Request(image="unused")


def check_all_used(request: Request, recipe: Recipe) -> None:
    """Raise `InvalidOption` for an option that changes none of the request's outputs."""
    for problem in _problems(request, recipe):
        raise InvalidOption(problem)


def _problems(request: Request, recipe: Recipe) -> Iterator[str]:
    yield from _of_outputs(request)
    yield from _of_files(request, recipe.encoding, recipe.composition.background.colour is None)
    yield from _of_placement(request)
    yield from _of_background(request.background)
    if isinstance(request.shadow, Shadow):
        yield from _of_shadow(request.shadow)
    if isinstance(request.refine, RefineParameters):
        yield from _of_refinement(request.refine)


def _of_outputs(request: Request) -> Iterator[str]:
    for option, outputs in _CHANGED_BY.items():
        if getattr(request, option) == getattr(_DEFAULTS, option):
            continue
        if option == "decontaminate" and request.channels == "alpha":
            outputs = SCENE_OUTPUTS  # the cutout then has no colours
        if outputs.isdisjoint(request.outputs):
            names = " or ".join(f"'{output}'" for output in sorted(outputs))
            yield f"{option} changes only output {names}: add it to `outputs`, or leave {option} out"


def _of_files(request: Request, encoding: EncodingSpec, is_transparent: bool) -> Iterator[str]:
    formats = encoding.formats
    if request.format == "zip" and "zip" not in formats.values():
        yield "format 'zip' is for output 'cutout' with colour: add it to `outputs`, or leave format out"
    if request.format in ("png", "jpeg") and set(formats) == {"layers"}:
        yield (
            f"format '{request.format}' does nothing for output 'layers', whose layers are JPEG if they are opaque and "
            "else PNG: ask for webp, or leave format out"
        )
    lossy = {"jpeg", "webp"}.intersection(formats.values()) or formats.get("cutout") == "zip"
    opaque_layer = "layers" in formats and (encoding.layers == "webp" or not is_transparent)
    if request.quality != _DEFAULTS.quality and not (lossy or opaque_layer):
        yield "quality changes only JPEG and WebP, and all outputs are PNG: set `format`, or leave quality out"
    grey = request.outputs == ("mask",) or (request.channels == "alpha" and set(formats) <= {"cutout", "mask"})
    if request.keep_metadata and grey and set(formats.values()) == {"webp"}:
        yield "keep_metadata does nothing for grey WebP, which has neither profile nor resolution: leave it out"


def _of_placement(request: Request) -> Iterator[str]:
    stands = request.perspective is not None and request.canvas is not None
    shows_frame = request.background.blur is not None or not _PLACED.issuperset(request.outputs)
    if request.crop and stands and not shows_frame:
        yield "crop does nothing with `perspective` on a `canvas`: leave it out"


def _of_background(background: Background) -> Iterator[str]:
    covering = [name for name in ("gradient", "blur") if getattr(background, name) is not None]
    if covering and background.color != Background().color:
        yield f"background.color does nothing behind background.{covering[0]}, which covers it: leave it out"
    gradient = background.gradient
    if gradient is not None and gradient.type == "radial" and gradient.angle != Gradient(colors=gradient.colors).angle:
        yield "background.gradient.angle does nothing for type 'radial': leave it out"


def _of_shadow(shadow: Shadow) -> Iterator[str]:
    if shadow.type == "contact" and shadow.light != Light():
        yield "shadow.light does nothing for type 'contact', which comes from no direction: leave it out"


def _of_refinement(refine: RefineParameters) -> Iterator[str]:
    defaults = RefineParameters()
    has_kernel = refine.close or refine.open or (refine.dilate and not refine.dilate_kernel)
    if refine.kernel != defaults.kernel and not has_kernel:
        yield "refine.kernel does nothing without `close` or `open`: set one of them, or leave kernel out"
    if refine.dilate_kernel and not refine.dilate:
        yield "refine.dilate_kernel does nothing without `dilate`: set it, or leave dilate_kernel out"
    sized = refine.close or refine.open or refine.blur or refine.dilate or refine.feather
    if refine.scale != defaults.scale and not sized:
        yield "refine.scale does nothing without a step that has a size, such as `blur`: leave it out"
