"""The parameters of compositing, as values: outputs, placement, background, shadow, harmonising.

A request's texts are parsed into these once (`cutstream/contract/recipe.py`). Lengths without a unit are pixels of an
image whose long side is 1000, and scale with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cutstream.arrays.ops import Colour, Inpainting
from cutstream.images.geometry import Length, Margin, Region

OutputName: TypeAlias = Literal["cutout", "mask", "composite", "overlay", "background", "layers"]
CutoutForm: TypeAlias = Literal["rgba", "alpha", "separate"]
ExistingAlpha: TypeAlias = Literal["auto", "keep", "multiply", "ignore"]
Fit: TypeAlias = Literal["cover", "contain", "tile"]
GradientType: TypeAlias = Literal["linear", "radial"]
ShadowType: TypeAlias = Literal["drop", "contact", "cast"]
HarmoniseMethod: TypeAlias = Literal["reinhard", "histogram"]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

# The outputs that show the subject on its background, with its shadow.
SCENE_OUTPUTS: frozenset[OutputName] = frozenset({"composite", "layers"})
# Those that show the subject's own colours.
COLOURED_OUTPUTS: frozenset[OutputName] = SCENE_OUTPUTS | {"cutout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PerspectiveSpec:
    """Stand the subject as an upright plane on a line of the canvas; sizes are resolved when the canvas is known."""

    baseline: tuple[Length, Length, Length, Length]  # x1 y1 x2 y2: where the subject's lower corners stand
    horizon: Length | None = None  # from the top; uprights shrink towards it; None: they do not


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementSpec:
    """The size of the canvas, and the subject's size and place on it.

    `scale` is the subject's share of what fits on the canvas; `position` is the share of the free space on its left
    and above it. With None for all four the canvas is the photo's frame and the subject stays where it is.
    """

    canvas: tuple[int, int] | None = None  # width and height in pixels
    max_pixels: int | None = None  # of an output; larger ones are scaled down
    scale: float | Literal["original"] | None = None
    position: tuple[float, float] | Literal["original"] | None = None
    perspective: PerspectiveSpec | None = None  # in place of scale and position


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """Two or more evenly spaced colours, mixed linearly; `angle` is CSS's: 0 goes upwards, 90 to the right."""

    colours: tuple[Colour, ...]
    type: GradientType = "linear"
    angle: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundSpec:
    """The background behind the subject: a colour, or one of gradient, picture and blur."""

    colour: Colour | None = WHITE  # None is transparent; also fills what a picture leaves free
    gradient: Gradient | None = None
    picture: str | None = None  # an address, or a name of the background catalogue
    fit: Fit = "cover"  # of the picture
    blur: float | None = None  # standard deviation of the photo's own blurred surroundings

    @property
    def is_image(self) -> bool:
        """True if the background has pixels of its own, and is not one plain colour."""
        return self.gradient is not None or self.picture is not None or self.blur is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """The direction that a shadow's light comes from: degrees clockwise from above, as the image shows it."""

    angle: float = 315.0
    length: float | None = None  # of the shadow, in heights of the subject; None is the shadow type's own


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSpec:
    """The subject's shadow; `auto` takes the light from the background picture."""

    type: ShadowType
    light: Light | Literal["auto"] = Light()
    softness: float | None = None  # standard deviation of the edge; None is the shadow type's own, or the light's
    opacity: float = 0.5  # 0..1
    colour: Colour = BLACK
    by_depth: bool = False  # let `cast` stand each part of the subject at its own depth


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmoniseSpec:
    """The statistics by which the subject's colours move towards the background's, and how far: 0..1."""

    method: HarmoniseMethod = "reinhard"
    strength: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionSpec:
    """The outputs, the part of the photo they show, where the subject goes, and what surrounds it."""

    outputs: tuple[OutputName, ...] = ("cutout",)
    cutout_form: CutoutForm = "rgba"  # `separate`: opaque colour and alpha as two layers
    existing_alpha: ExistingAlpha = "auto"
    region: Region | None = None  # only pixels inside may be foreground
    crop: Margin | None = None  # kept around the subject; None keeps the whole photo
    placement: PlacementSpec = PlacementSpec()
    decontaminated: frozenset[OutputName] = frozenset()  # the outputs without colours of the old background
    background: BackgroundSpec = BackgroundSpec()
    shadow: ShadowSpec | None = None
    harmonise: HarmoniseSpec | None = None
    inpaint: Inpainting = "telea"

    @property
    def draws_scene(self) -> bool:
        return not SCENE_OUTPUTS.isdisjoint(self.outputs)
