"""The wire contract: one request record in, one result record out.

Names follow remove.bg where it has one. A field exists only when the worker acts on it; unknown fields are refused,
so a misspelling is an error and never a silent default.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

OutputName = Literal["cutout", "mask", "composite"]
Status = Literal["ok", "failed", "expired"]

Percent = Annotated[int, Meta(ge=1, le=100)]


class RefineParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Explicit morphology, in this order: close, open, blur, threshold, dilate.

    Kernel sizes are odd pixels of a picture whose long side is 1000 and scale with it; `scale="none"` takes them
    literally. A count of 0 skips the step.
    """

    kernel: Annotated[int, Meta(ge=1, le=99)] = 3
    close: Annotated[int, Meta(ge=0, le=20)] = 0
    open: Annotated[int, Meta(ge=0, le=20)] = 0
    blur: Annotated[int, Meta(ge=0, le=99)] = 0
    threshold: Annotated[int, Meta(ge=0, le=255)] | None = None
    dilate_kernel: Annotated[int, Meta(ge=0, le=99)] = 0
    dilate: Annotated[int, Meta(ge=0, le=20)] = 0
    scale: Literal["long_side", "none"] = "long_side"


class Background(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the composite stands on. `color`: `#rgb`, `#rrggbb` or a CSS colour name."""

    color: str = "white"


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`{"image": "s3://bucket/photo.jpg"}` is a valid request; everything else has a default."""

    image: Annotated[str, Meta(min_length=1, max_length=4096)]
    id: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._:@=+-]+$")] | None = None
    profile: str | None = None
    outputs: Annotated[tuple[OutputName, ...], Meta(min_length=1, max_length=3)] = ("cutout",)
    format: Literal["auto", "png", "webp", "jpeg"] = "auto"
    quality: Percent = 90
    channels: Literal["rgba", "alpha"] = "rgba"
    size: Literal["auto", "preview", "medium", "hd", "full"] = "auto"
    roi: str | None = None
    crop: bool = False
    crop_margin: str | None = None
    refine: str | RefineParameters = "soft"
    background: Background = Background()
    existing_alpha: Literal["keep", "multiply", "ignore"] = "ignore"
    keep_metadata: bool = False
    destination: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    deadline: str | None = None
    labels: dict[str, str] = {}
    replay: Annotated[int, Meta(ge=0)] = 0
