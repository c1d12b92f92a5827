"""Parse a request once: the wire's texts become typed values, and options that do not fit together are refused.

Everything behind admission takes these values. A new request option is a field in `messages.py` or `options.py`, its
value in a spec (`matting/specs.py`, `compositing/specs.py`), and its line here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from cutstream.compositing.specs import (
    COLOURED_OUTPUTS,
    SCENE_OUTPUTS,
    BackgroundSpec,
    CompositionSpec,
    CutoutForm,
    Gradient,
    HarmoniseSpec,
    Light,
    OutputName,
    PerspectiveSpec,
    PlacementSpec,
    ShadowSpec,
)
from cutstream.contract import options
from cutstream.contract.addresses import parse_address
from cutstream.contract.colours import parse_colour
from cutstream.contract.geometry import (
    parse_baseline,
    parse_canvas,
    parse_horizon,
    parse_margin,
    parse_position,
    parse_region,
    parse_scale,
)
from cutstream.contract.messages import Request
from cutstream.contract.unused import check_all_used
from cutstream.errors import InvalidOption
from cutstream.images import Format
from cutstream.images.geometry import Margin
from cutstream.matting.presets import PRESETS, check_refinement, find_preset
from cutstream.matting.specs import MattingSpec, Refinement

FileFormat: TypeAlias = Literal[Format, "zip"]

TRANSPARENT = "transparent"
MAX_PIXELS = {"preview": 250_000, "medium": 1_500_000, "hd": 4_000_000, "full": None, "auto": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingSpec:
    """The file format of each output, and what is written into the files."""

    formats: Mapping[OutputName, FileFormat]
    layers: Literal["webp", "jpeg_or_png"] = "jpeg_or_png"  # inside a zip; JPEG for layers of opaque colour
    quality: int = 90  # 1..100, of JPEG and lossy WebP
    keep_metadata: bool = False  # the source's ICC profile and resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A request's options as the stages need them."""

    image: str  # the photo's address
    refinement: Refinement
    matting: MattingSpec | None
    composition: CompositionSpec
    encoding: EncodingSpec
    destination: str | None = None  # prefix of the outputs; None is the deployment's
    deadline: datetime | None = None
    hint: Literal["speed", "quality"] | None = None  # for profile `auto`


def parse_recipe(request: Request, presets: Mapping[str, Refinement] = PRESETS) -> Recipe:
    """Parse a request; `presets` are the refinements that it may name.

    Raises `InvalidOption`, `RefusedAddress` or `RegionOutOfBounds`, with a message that names the field. Checks that
    depend on the photo's size follow when that is known.
    """
    recipe = Recipe(
        image=parse_address(request.image, "image"),
        refinement=_refinement(request, presets),
        matting=_matting(request),
        composition=_composition(request),
        encoding=_encoding(request),
        destination=None if request.destination is None else parse_address(request.destination, "destination"),
        deadline=request.deadline,
        hint=request.hint,
    )
    check_all_used(request, recipe)
    return recipe


def refinement_of(parameters: options.RefineParameters) -> Refinement:
    """Convert explicit parameters. Raises `InvalidOption` for a kernel of even size, or too much work."""
    refinement = Refinement(**msgspec.structs.asdict(parameters))
    check_refinement(refinement)
    return refinement


def parameters_of(refinement: Refinement) -> options.RefineParameters:
    """Return the parameters with which a request or a preset file asks for this refinement."""
    return options.RefineParameters(**dataclasses.asdict(refinement))


def file_format(request: Request, output: OutputName) -> FileFormat:
    """Choose the file format of one output. Raises `InvalidOption` for JPEG with transparency."""
    if output == "layers":
        return "zip"
    transparent = _is_transparent(request, output)
    if request.format == "jpeg" and transparent:
        raise InvalidOption(
            f"format 'jpeg' cannot carry the transparency of output {output!r}: ask for png or webp, or for output "
            "'composite' on a background such as white (`--background white` on the command line)"
        )
    if request.format == "zip" and output == "cutout" and transparent:
        return "zip"
    if request.format == "auto" or request.format == "zip":
        return "png" if transparent or _is_grey(request, output) else "jpeg"
    return request.format


def _refinement(request: Request, presets: Mapping[str, Refinement]) -> Refinement:
    if isinstance(request.refine, str):
        return find_preset(request.refine, presets)
    return refinement_of(request.refine)


def _matting(request: Request) -> MattingSpec | None:
    match request.matting:
        case None:
            return None
        case str(method):
            return MattingSpec(method=method)
        case matting:
            return MattingSpec(method=matting.method, erode=matting.erode, dilate=matting.dilate)


def _composition(request: Request) -> CompositionSpec:
    background = _background(request.background)
    return CompositionSpec(
        outputs=request.outputs,
        cutout_form=_cutout_form(request),
        existing_alpha=request.existing_alpha,
        region=None if request.roi is None else parse_region(request.roi),
        crop=_crop(request),
        placement=_placement(request),
        decontaminated=_decontaminated(request, background),
        background=background,
        shadow=_shadow(request, background),
        harmonise=_harmonise(request, background),
        inpaint=request.inpaint,
    )


def _decontaminated(request: Request, background: BackgroundSpec) -> frozenset[OutputName]:
    """Return the outputs to clean. On a new background the old one's colours are seen as a halo."""
    if request.decontaminate is None:
        has_background = background.is_image or background.colour is not None
        return SCENE_OUTPUTS.intersection(request.outputs) if has_background else frozenset()
    return COLOURED_OUTPUTS.intersection(request.outputs) if request.decontaminate else frozenset()


def _cutout_form(request: Request) -> CutoutForm:
    if request.channels == "alpha":
        return "alpha"
    return "separate" if request.format == "zip" else "rgba"


def _crop(request: Request) -> Margin | None:
    if not request.crop:
        if request.crop_margin is not None:
            raise InvalidOption("crop_margin does nothing without `crop`: set `crop` to true")
        return None
    return parse_margin(request.crop_margin or "0")


def _placement(request: Request) -> PlacementSpec:
    if request.perspective is not None and not (request.scale is None and request.position is None):
        raise InvalidOption("perspective places the subject by its baseline: leave `scale` and `position` out")
    return PlacementSpec(
        canvas=None if request.canvas is None else parse_canvas(request.canvas),
        max_pixels=MAX_PIXELS[request.size],
        scale=None if request.scale is None else parse_scale(request.scale),
        position=None if request.position is None else parse_position(request.position),
        perspective=None if request.perspective is None else _perspective(request.perspective),
    )


def _perspective(perspective: options.Perspective) -> PerspectiveSpec:
    return PerspectiveSpec(
        baseline=parse_baseline(perspective.baseline),
        horizon=None if perspective.horizon is None else parse_horizon(perspective.horizon),
    )


def _background(background: options.Background) -> BackgroundSpec:
    sources = [name for name in ("gradient", "image", "blur") if getattr(background, name) is not None]
    if len(sources) > 1:
        raise InvalidOption(f"background: {' and '.join(sources)} exclude each other; give one of them")
    if sources and background.color == TRANSPARENT:
        raise InvalidOption(
            f"background.color 'transparent' means no background: leave it out, or leave {sources[0]} out"
        )
    if background.fit != "cover" and background.image is None:
        raise InvalidOption("background.fit does nothing without background.image")
    return BackgroundSpec(
        colour=None if background.color == TRANSPARENT else parse_colour("background.color", background.color),
        gradient=None if background.gradient is None else _gradient(background.gradient),
        picture=None if background.image is None else parse_address(background.image, "background.image"),
        fit=background.fit,
        blur=background.blur,
    )


def _gradient(gradient: options.Gradient) -> Gradient:
    colours = tuple(parse_colour("background.gradient", text) for text in gradient.colors)
    return Gradient(colours=colours, type=gradient.type, angle=gradient.angle)


def _shadow(request: Request, background: BackgroundSpec) -> ShadowSpec | None:
    shadow = request.shadow
    if shadow is None:
        return None
    if isinstance(shadow, str):
        return ShadowSpec(type=shadow)
    if shadow.light == "auto" and background.picture is None:
        raise InvalidOption(
            "shadow.light: 'auto' takes the light from `background.image`: set that, or give the light's angle"
        )
    if shadow.depth and shadow.type != "cast":
        raise InvalidOption(f"shadow.depth does nothing for type {shadow.type!r}: use 'cast', or leave it out")
    if shadow.depth and request.perspective is not None:
        raise InvalidOption("shadow.depth does not go with `perspective`, which stands the subject on one line")
    return ShadowSpec(
        type=shadow.type,
        light="auto" if shadow.light == "auto" else Light(angle=shadow.light.angle, length=shadow.light.length),
        softness=shadow.softness,
        opacity=shadow.opacity,
        colour=parse_colour("shadow.color", shadow.color),
        by_depth=shadow.depth,
    )


def _harmonise(request: Request, background: BackgroundSpec) -> HarmoniseSpec | None:
    harmonise = request.harmonise
    if harmonise is None:
        return None
    if background.picture is None and background.blur is None:
        raise InvalidOption("harmonise adapts the subject to a picture: set background.image or background.blur")
    if isinstance(harmonise, str):
        return HarmoniseSpec(method=harmonise)
    return HarmoniseSpec(method=harmonise.method, strength=harmonise.strength)


def _encoding(request: Request) -> EncodingSpec:
    return EncodingSpec(
        formats={output: file_format(request, output) for output in request.outputs},
        layers="webp" if request.format == "webp" else "jpeg_or_png",
        quality=request.quality,
        keep_metadata=request.keep_metadata,
    )


def _is_transparent(request: Request, output: OutputName) -> bool:
    if output == "composite":
        background = request.background
        plain = background.gradient is None and background.image is None and background.blur is None
        return plain and background.color == TRANSPARENT
    return output == "cutout" and request.channels == "rgba"


def _is_grey(request: Request, output: OutputName) -> bool:
    return output == "mask" or (output == "cutout" and request.channels == "alpha")
