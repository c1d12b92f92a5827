"""The wire contract: one request record in, one result record out.

Names follow remove.bg where it has one. A request field exists only when the worker acts on it; unknown ones are
refused, so a misspelling is an error and never a silent default. Results may gain fields: readers ignore new ones.

The record key is free: it decides the partition and nothing else, and the result carries its request's key. Without
keys requests spread evenly, which is the fastest; equal keys keep their results in order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cutstream.contract.options import (
    Address,
    Background,
    Harmonise,
    HarmoniseMethod,
    Matting,
    MattingMethod,
    Name,
    Perspective,
    RefineParameters,
    Shadow,
    ShadowType,
)
from cutstream.contract.validation import explain
from cutstream.errors import CutstreamError, InvalidRequest
from cutstream.profiles import AUTO as AUTO

OutputName = Literal["cutout", "mask", "composite", "overlay", "background", "layers"]
Status = Literal["ok", "failed", "expired"]

# The id becomes a folder's name among the objects: no separators, and not `.` or `..`. `(?!\n)` because `$` alone
# lets a trailing newline through.
RequestId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^(?!\.+$)[A-Za-z0-9._:@=+-]+(?!\n)$",
        description="letters, digits and any of . _ : @ = + -, but not dots alone",
    ),
]
Labels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100)], Annotated[str, Meta(max_length=1000)]],
    Meta(max_length=64, description="Passed through to the result, for instance a tenant or a job's name."),
]
Replay = Annotated[
    int, Meta(ge=0, le=1_000_000, description="How often this request has been replayed; (id, replay) has one result.")
]
Share = Annotated[float, Meta(ge=0, le=1)]

MAX_MESSAGE_CHARACTERS = 1000


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`{"image": "s3://bucket/photo.jpg"}` is a valid request; everything else has a default."""

    image: Annotated[Address, Meta(description="The photo: `s3://`, `gs://`, `az://`, `https://` or `file://`.")]
    id: Annotated[
        RequestId | None,
        Meta(description="Names the result and its objects. Unset: the CloudEvent's id, or topic-partition-offset."),
    ] = None
    profile: Annotated[
        Name | None,
        Meta(description="Which models find the subject, or `auto`: the most precise ones that there is time for."),
    ] = None
    hint: Annotated[
        Literal["speed", "quality"] | None,
        Meta(description="For `auto`: always the fastest, or the most precise in time however many requests wait."),
    ] = None
    outputs: Annotated[
        tuple[OutputName, ...],
        Meta(
            min_length=1,
            max_length=6,
            description="`cutout`: the subject, transparent around it; `mask`: its alpha; `composite`: on its "
            "background; `overlay`: the photo with the subject tinted; `background`: the photo without the subject; "
            "`layers`: those of the composite, as a zip.",
            extra_json_schema={"uniqueItems": True},
        ),
    ] = ("cutout",)
    format: Annotated[
        Literal["auto", "png", "webp", "jpeg", "zip"],
        Meta(
            description="`auto`: PNG where there is transparency and for masks, else JPEG. `zip` is for the cutout: "
            "colours as JPEG, alpha as PNG."
        ),
    ] = "auto"
    quality: Annotated[int, Meta(ge=1, le=100, description="Of JPEG and of lossy WebP.")] = 90
    channels: Annotated[
        Literal["rgba", "alpha"], Meta(description="`alpha` makes the cutout its alpha channel only.")
    ] = "rgba"
    size: Annotated[
        Literal["auto", "preview", "medium", "hd", "full"],
        Meta(description="Largest output: preview 0.25, medium 1.5, hd 4 megapixels; full and auto as the source."),
    ] = "auto"
    roi: Annotated[Name | None, Meta(description="`x1 y1 x2 y2` in px or %: only pixels inside may be foreground.")] = (
        None
    )
    crop: Annotated[bool, Meta(description="Cut away the empty border around the subject.")] = False
    crop_margin: Annotated[
        Name | None, Meta(description="Kept around the subject when cropping: 1, 2 or 4 values in px or %.")
    ] = None
    scale: Annotated[
        Name | None,
        Meta(description="Size of the subject: `original`, or 10 % to 100 % of what fits on the canvas."),
    ] = None
    position: Annotated[
        Name | None,
        Meta(description="Of the subject: `original`, `center`, or 1 or 2 percentages of the room that is left."),
    ] = None
    canvas: Annotated[
        Name | None, Meta(description="`<width>x<height>` of the pictures in px; unset: the photo's, after `crop`.")
    ] = None
    perspective: Annotated[
        Perspective | None, Meta(description="Where the subject stands, in place of `scale` and `position`.")
    ] = None
    refine: Annotated[Name | RefineParameters, Meta(description="A preset's name, or explicit parameters.")] = "soft"
    matting: Annotated[
        MattingMethod | Matting | None, Meta(description="Alpha of hair and fur anew, in a band around the edge.")
    ] = None
    decontaminate: Annotated[
        bool, Meta(description="Remove the old background's colour from soft edges of cutout, composite and layers.")
    ] = False
    background: Annotated[Background, Meta(description="Of the composite.")] = Background()
    shadow: Annotated[ShadowType | Shadow | None, Meta(description="On composite and layers.")] = None
    harmonise: Annotated[
        HarmoniseMethod | Harmonise | None, Meta(description="Adapt the subject to the background image.")
    ] = None
    inpaint: Annotated[
        Literal["telea", "navier_stokes"], Meta(description="How output `background` fills where the subject was.")
    ] = "telea"
    existing_alpha: Annotated[
        Literal["keep", "multiply", "ignore"],
        Meta(description="The source's own alpha: used instead of the model's, multiplied with it, or dropped."),
    ] = "ignore"
    keep_metadata: Annotated[bool, Meta(description="Keep the source's ICC profile and DPI.")] = False
    destination: Annotated[
        Address | None, Meta(description="Prefix of the output objects; unset: the deployment's.")
    ] = None
    deadline: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="Not started or continued after this time: the result is then `expired`."),
    ] = None
    labels: Labels = {}
    replay: Replay = 0

    def __post_init__(self) -> None:
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("`outputs` names the same output twice")


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One output, durable before the result that names it can be read."""

    output: OutputName
    uri: str
    bytes: int
    sha256: str
    width: int
    height: int
    media_type: str


class BoundingBox(msgspec.Struct, frozen=True, kw_only=True):
    """The subject in the upright source, in pixels; remove.bg's names."""

    foreground_left: int
    foreground_top: int
    foreground_width: int
    foreground_height: int


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What found the subject: the ensemble, and the networks that are its steps where the server states them."""

    name: str
    version: str
    digest: str
    networks: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Why `auto` took the profile that it took."""

    reason: Annotated[
        Literal["time", "hint", "deadline", "backlog"],
        Meta(
            description="`time`: there was time for the most precise; `hint`: asked for; `deadline`, `backlog`: a more "
            "precise one would have missed the deadline, or kept the requests that wait too long."
        ),
    ]
    detail: str


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where the request's record lies in Kafka; the time is in milliseconds since the Unix epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no picture."""

    code: Annotated[str, Meta(description="One of docs/errors.md.")]
    message: str
    stage: Annotated[str, Meta(description="`request`, or the pipeline's stage.")]
    retryable: Annotated[bool, Meta(description="Whether the same request may succeed when sent again.")]

    @classmethod
    def of(cls, error: CutstreamError, stage: str) -> ErrorDetail:
        """Clipped, since a message may quote the request and a result has to fit into a record."""
        message = str(error)[:MAX_MESSAGE_CHARACTERS]
        return cls(code=error.code, message=message, stage=stage, retryable=error.retryable)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer to a request. Every field is always present; `error` is null exactly when `status` is `ok`."""

    id: Annotated[str, Meta(description="The request's, the event's, or `<topic>-<partition>-<offset>`.")]
    status: Annotated[Status, Meta(description="`failed` also left a dead letter; `expired` missed its deadline.")]
    source: SourceRecord
    objects: tuple[StoredObject, ...] = ()
    bbox: BoundingBox | None = None
    coverage: Annotated[Share | None, Meta(description="Share of the source's pixels that are subject.")] = None
    uncertainty: Annotated[Share | None, Meta(description="How undecided the matte is: 0 sure, 1 guessing.")] = None
    profile: Annotated[str | None, Meta(description="Null when the request could not be read.")] = None
    choice: Annotated[Choice | None, Meta(description="For requests of profile `auto`.")] = None
    model: ServedModel | None = None
    timings_ms: Annotated[dict[str, float], Meta(description="Work per stage, without waiting.")] = {}
    attempts: Annotated[int, Meta(ge=1, description="1 unless the source had to be tried again.")] = 1
    error: ErrorDetail | None = None
    labels: Labels = {}
    replay: Replay = 0

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.error is None):
            raise ValueError(f"a result that is {self.status!r} must {'not ' * (self.status == 'ok')}have an error")


_encoder = msgspec.json.Encoder()
_request_decoder = msgspec.json.Decoder(Request)
_result_decoder = msgspec.json.Decoder(Result)

# RecursionError: brackets nested thousands deep, which msgspec refuses so.
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode(message: Request | Result) -> bytes:
    return _encoder.encode(message)


def decode_request(value: bytes) -> Request:
    """Raises InvalidRequest, whose message names the field and says what it expects."""
    try:
        return _request_decoder.decode(value)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(explain(exc, Request)) from exc
    except BROKEN as exc:
        raise InvalidRequest(f"the request is not JSON: {exc}") from exc


def decode_result(value: bytes) -> Result:
    """For readers of results; raises msgspec.DecodeError on what no worker wrote."""
    return _result_decoder.decode(value)
