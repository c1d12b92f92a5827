"""The options of a request, as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from cutstream.arrays.ops import Inpainting
from cutstream.compositing.specs import ExistingAlpha, HarmoniseMethod, OutputName, ShadowType
from cutstream.contract.options import Background, Harmonise, Matting, Perspective, RefineParameters, Shadow
from cutstream.matting.specs import MattingMethod


class Options(TypedDict, total=False):
    """The fields of a request (docs/topics.md), except `image`, which is the photo. None counts as not given.

    Three are friendlier here: `outputs` may be one name, `background` may be a colour, and `deadline` may be a
    timedelta from now. If a background, a shadow or harmonising is given without `outputs`, the output is a composite.
    """

    id: str | None
    profile: str | None
    hint: Literal["speed", "quality"] | None
    outputs: OutputName | Sequence[OutputName] | None
    format: Literal["auto", "png", "webp", "jpeg", "jpg", "zip"] | None
    quality: int | None
    channels: Literal["rgba", "alpha"] | None
    size: Literal["auto", "preview", "medium", "hd", "full"] | None
    roi: str | None
    crop: bool | None
    crop_margin: str | None
    scale: str | None
    position: str | None
    canvas: str | None
    perspective: Perspective | Mapping[str, Any] | None
    refine: str | RefineParameters | Mapping[str, Any] | None
    matting: MattingMethod | Matting | Mapping[str, Any] | None
    decontaminate: bool | None
    background: str | Background | Mapping[str, Any] | None
    shadow: ShadowType | Shadow | Mapping[str, Any] | None
    harmonise: HarmoniseMethod | Harmonise | Mapping[str, Any] | None
    inpaint: Inpainting | None
    existing_alpha: ExistingAlpha | None
    keep_metadata: bool | None
    destination: str | None
    deadline: datetime | timedelta | None
    labels: Mapping[str, str] | None
