"""How a request wants its matte refined and its pictures composed: the nested parts of `messages.Request`.

Lengths without a unit are pixels of a picture whose long side is 1000, and scale with it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cutstream.compositing.specs import Fit, GradientType, HarmoniseMethod, ShadowType
from cutstream.matting.specs import EdgeMode, KernelScale, MattingMethod

Address = Annotated[str, Meta(min_length=1, max_length=4096)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Colour = Annotated[str, Meta(min_length=1, max_length=64, description="`#rgb`, `#rrggbb` or a CSS colour name.")]


class RefineParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Explicit refinement, in this order; a count of 0 skips its step.

    At the size of the matte: close, open, blur, dilate. At the picture's: edges, threshold, keep_largest, fill_holes,
    feather.
    """

    kernel: Annotated[int, Meta(ge=1, le=99, description="Ellipse of close and open; sizes are odd pixels.")] = 3
    close: Annotated[int, Meta(ge=0, le=20, description="How often to close.")] = 0
    open: Annotated[int, Meta(ge=0, le=20, description="How often to open.")] = 0
    blur: Annotated[int, Meta(ge=0, le=99, description="Gaussian kernel; 0 is no blur.")] = 0
    threshold: Annotated[
        Annotated[int, Meta(ge=0, le=255)] | None, Meta(description="Matte values above it become 255, others 0.")
    ] = None
    dilate_kernel: Annotated[int, Meta(ge=0, le=99, description="Ellipse of dilate; 0 takes `kernel`.")] = 0
    dilate: Annotated[int, Meta(ge=0, le=20, description="How often to dilate.")] = 0
    edges: Annotated[
        EdgeMode,
        Meta(description="To the picture's size: interpolated, or with `soft` edges that follow the picture's own."),
    ] = "linear"
    keep_largest: Annotated[bool, Meta(description="Drop all but the largest connected part.")] = False
    fill_holes: Annotated[bool, Meta(description="Make what the subject encloses part of it.")] = False
    feather: Annotated[int, Meta(ge=0, le=99, description="Gaussian kernel that softens the finished edge.")] = 0
    scale: Annotated[
        KernelScale,
        Meta(description="`long_side`: sizes are for a long side of 1000 px and scale with it; `none`: literal."),
    ] = "long_side"


class Matting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Alpha by matting, in a band around the matte's edge; outside of it the matte is taken as sure."""

    method: Annotated[
        MattingMethod, Meta(description="`fast` takes milliseconds; the others are exact and take seconds.")
    ] = "fast"
    erode: Annotated[int, Meta(ge=0, le=200, description="How far inside the edge the band begins.")] = 10
    dilate: Annotated[int, Meta(ge=0, le=200, description="How far outside the edge the band ends.")] = 10


class Gradient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Evenly spaced colours, linearly mixed."""

    colors: Annotated[tuple[Colour, ...], Meta(min_length=2, max_length=8, description="From first to last.")]
    type: Annotated[GradientType, Meta(description="`radial`: from the middle out to the farthest corner.")] = "linear"
    angle: Annotated[
        float, Meta(ge=0, le=360, description="Of `linear`, as in CSS: 0 goes upwards, 90 to the right, 180 downwards.")
    ] = 180.0


class Background(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the composite stands on: a colour, or one of gradient, image and blur."""

    color: Annotated[
        Colour,
        Meta(
            description="Also behind an image that leaves room or is transparent itself. Alone it may be `transparent`."
        ),
    ] = "white"
    gradient: Gradient | None = None
    image: Annotated[
        Address | None, Meta(description="A picture: a name of the background catalogue, or an address.")
    ] = None
    fit: Annotated[
        Fit,
        Meta(description="Of the image: fill and cut, fit inside, or repeat at its own size."),
    ] = "cover"
    blur: Annotated[
        Annotated[float, Meta(gt=0, le=200)] | None,
        Meta(description="The photo's own surroundings, blurred: the standard deviation."),
    ] = None


class Light(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a shadow falls."""

    angle: Annotated[
        float,
        Meta(
            ge=0,
            le=360,
            description="Where the light comes from, clockwise as the picture shows it: 0 from above or behind, 90 "
            "from the right, 180 from below or the front, 270 from the left.",
        ),
    ] = 315.0
    length: Annotated[
        Annotated[float, Meta(ge=0, le=5)] | None,
        Meta(description="Of the shadow, in heights of the subject; unset: 0.03 for `drop`, 0.5 for `cast`."),
    ] = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The subject's shadow, on composite and layers."""

    type: Annotated[
        ShadowType,
        Meta(
            description="`drop`: its outline, displaced; `contact`: dark where it stands; `cast`: laid over the ground "
            "from where it stands."
        ),
    ]
    light: Annotated[
        Light | Literal["auto"],
        Meta(description="`auto` takes it from the shadows of the background image, or from its shading."),
    ] = Light()
    softness: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(description="Blur of the edge, a standard deviation; unset: as fits the type, or the background's light."),
    ] = None
    opacity: Annotated[float, Meta(ge=0, le=1)] = 0.5
    color: Colour = "black"
    depth: Annotated[
        bool, Meta(description="Let `cast` stand each part at its own depth; with profiles that measure depth.")
    ] = False


class Harmonise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The subject's light and colours, adapted to the background image."""

    method: Annotated[
        HarmoniseMethod, Meta(description="Mean and spread in Lab, or the whole histogram of each channel.")
    ] = "reinhard"
    strength: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Perspective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The subject as an upright plane that stands on a line of the canvas."""

    baseline: Annotated[Name, Meta(description="`x1 y1 x2 y2` in px or %: where the subject's lower corners stand.")]
    horizon: Annotated[
        Name | None,
        Meta(
            description="Height of the horizon, px or % from the top: uprights shrink towards it. Unset: they do not."
        ),
    ] = None
