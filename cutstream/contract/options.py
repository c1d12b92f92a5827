"""The nested options of `messages.Request`: refinement, matting, background, shadow, harmonising and perspective.

Lengths that are numbers are px of an image with a long side of 1000, and scale with the image. Lengths in texts are px
of the image itself, or percentages.
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
    """Explicit refinement of the network's matte. A count of 0 skips its step.

    The steps run in this order. At the size of the matte: fade_islands, close, open, blur, dilate. At the size of the
    image: edges, threshold, keep_largest, fill_holes, feather.
    """

    fade_islands: Annotated[
        bool,
        Meta(
            description="Fade out parts of the matte that are apart from the subject, as far as the network is "
            "unsure of them or they are tiny."
        ),
    ] = False
    kernel: Annotated[int, Meta(ge=1, le=99, description="Size of the ellipse for `close` and `open`. Odd.")] = 3
    close: Annotated[int, Meta(ge=0, le=20, description="Number of closings, which fill gaps.")] = 0
    open: Annotated[int, Meta(ge=0, le=20, description="Number of openings, which remove specks.")] = 0
    blur: Annotated[int, Meta(ge=0, le=99, description="Size of the Gaussian kernel. Odd, or 0 for no blur.")] = 0
    threshold: Annotated[
        Annotated[int, Meta(ge=0, le=255)] | None,
        Meta(description="Values above it become 255, all others 0. Unset: the matte stays soft."),
    ] = None
    dilate_kernel: Annotated[
        int, Meta(ge=0, le=99, description="Size of the ellipse for `dilate`. Odd, or 0 for the size of `kernel`.")
    ] = 0
    dilate: Annotated[int, Meta(ge=0, le=20, description="Number of dilations, which widen the subject.")] = 0
    edges: Annotated[
        EdgeMode,
        Meta(
            description="How the matte gets the size of the image. `linear`: interpolation. `soft`: its edges follow "
            "those of the image."
        ),
    ] = "linear"
    keep_largest: Annotated[bool, Meta(description="Keep only the largest connected part.")] = False
    fill_holes: Annotated[bool, Meta(description="Fill holes in the subject.")] = False
    feather: Annotated[
        int,
        Meta(
            ge=0, le=99, description="Size of the Gaussian kernel that softens the finished edge. Odd, or 0 for none."
        ),
    ] = 0
    scale: Annotated[
        KernelScale,
        Meta(
            description="`long_side`: sizes are for a long side of 1000 px and scale with it. `none`: sizes are in px."
        ),
    ] = "long_side"


class Matting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Alpha matting in a band around the edge of the matte. Outside the band the matte stays as it is."""

    method: Annotated[
        MattingMethod,
        Meta(description="Matting method. `fast` takes milliseconds. The others are exact and take seconds."),
    ] = "fast"
    erode: Annotated[int, Meta(ge=0, le=200, description="Distance from the edge to the inner border of the band.")] = (
        10
    )
    dilate: Annotated[
        int, Meta(ge=0, le=200, description="Distance from the edge to the outer border of the band.")
    ] = 10


class Gradient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A gradient between evenly spaced colours."""

    colors: Annotated[
        tuple[Colour, ...], Meta(min_length=2, max_length=8, description="Colours of the gradient, from first to last.")
    ]
    type: Annotated[GradientType, Meta(description="`radial`: from the centre to the farthest corner.")] = "linear"
    angle: Annotated[
        float,
        Meta(
            ge=0,
            le=360,
            description="Direction of `linear` in degrees, as in CSS: 0 is upwards, 90 to the right, 180 downwards.",
        ),
    ] = 180.0


class Background(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The background of the composite: a colour, or one of `gradient`, `image` and `blur`."""

    color: Annotated[
        Colour,
        Meta(
            description="Background colour, which also shows where `image` leaves space or is transparent. May be "
            "`transparent` if no other background is given."
        ),
    ] = "white"
    gradient: Gradient | None = None
    image: Annotated[
        Address | None, Meta(description="Background picture: a name in the background catalogue, or an address.")
    ] = None
    fit: Annotated[
        Fit,
        Meta(
            description="How the picture fills the canvas. `cover`: scale it to fill, and crop. `contain`: scale it to "
            "fit inside. `tile`: repeat it at its own size."
        ),
    ] = "cover"
    blur: Annotated[
        Annotated[float, Meta(gt=0, le=200)] | None,
        Meta(
            description="Use the blurred surroundings of the subject in the source. The value is the standard "
            "deviation."
        ),
    ] = None


class Light(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The light that casts a shadow."""

    angle: Annotated[
        float,
        Meta(
            ge=0,
            le=360,
            description="Direction from which the light comes, in degrees clockwise in the image: 0 is from above or "
            "behind, 90 from the right, 180 from below or the front, 270 from the left.",
        ),
    ] = 315.0
    length: Annotated[
        Annotated[float, Meta(ge=0, le=5)] | None,
        Meta(description="Length of the shadow, in heights of the subject. Unset: 0.03 for `drop`, 0.5 for `cast`."),
    ] = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The shadow of the subject, on composite and layers."""

    type: Annotated[
        ShadowType,
        Meta(
            description="`drop`: the displaced outline of the subject. `contact`: a dark area where the subject "
            "touches the ground. `cast`: a shadow on the ground."
        ),
    ]
    light: Annotated[
        Light | Literal["auto"],
        Meta(
            description="Light that casts the shadow. `auto`: estimate it from the shadows or the shading of the "
            "background picture."
        ),
    ] = Light()
    softness: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(
            description="Blur of the shadow's edge, as a standard deviation. Unset: a value for the type, or for the "
            "light of the background picture."
        ),
    ] = None
    opacity: Annotated[float, Meta(ge=0, le=1, description="Opacity of the shadow: 1 is opaque.")] = 0.5
    color: Colour = "black"
    depth: Annotated[
        bool,
        Meta(
            description="Let each part of the subject cast its shadow from its own depth. Needs type `cast` and a "
            "profile that measures depth."
        ),
    ] = False


class Harmonise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Adaptation of the subject's light and colours to the background."""

    method: Annotated[
        HarmoniseMethod,
        Meta(description="`reinhard`: match mean and spread in Lab. `histogram`: match the histogram of each channel."),
    ] = "reinhard"
    strength: Annotated[
        float, Meta(ge=0, le=1, description="Strength of the adaptation: 0 changes nothing, 1 matches fully.")
    ] = 0.5


class Perspective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Placement of the subject as an upright plane that stands on a line of the canvas."""

    baseline: Annotated[
        Name, Meta(description="Positions of the subject's lower corners on the canvas, `x1 y1 x2 y2` in px or %.")
    ]
    horizon: Annotated[
        Name | None,
        Meta(
            description="Distance of the horizon from the top, in px or %. Vertical edges get shorter towards it. "
            "Unset: they keep their length."
        ),
    ] = None
