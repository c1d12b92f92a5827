"""The wire contract: a request is one record, and its result is one record.

Names are those of remove.bg where it has one. The worker acts on every field of a request and refuses unknown fields,
so a misspelling is an error and never a silent default. Results may gain fields, which readers ignore.

A request's record key only decides its partition. Its result has the same key. Without keys, requests spread evenly
over the partitions, which is fastest. Requests with the same key get their results in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cutstream.arrays.ops import Inpainting
from cutstream.compositing.specs import ExistingAlpha, HarmoniseMethod, OutputName, ShadowType
from cutstream.contract.ids import AnyId, RequestId
from cutstream.contract.options import (
    Address,
    Background,
    Harmonise,
    Matting,
    Name,
    Perspective,
    RefineParameters,
    Shadow,
)
from cutstream.contract.reading.spellings import respell
from cutstream.contract.reading.unreadable import explain_unreadable, without_bom
from cutstream.contract.reading.validation import explain
from cutstream.errors import Cancelled, CutstreamError, Expired, InvalidRequest
from cutstream.images import ImageWarning, WarningCode
from cutstream.matting.specs import MattingMethod
from cutstream.printable import printable

Status = Literal["ok", "failed", "expired", "cancelled"]

Labels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100)], Annotated[str, Meta(max_length=1000)]],
    Meta(max_length=64, description="Copied to the result, for instance a tenant or the name of a job."),
]
MAX_REPLAY = 1_000_000
Replay = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_REPLAY,
        description="Number of times this request has been replayed. Each pair (id, replay) has one result.",
    ),
]
Share = Annotated[float, Meta(ge=0, le=1)]

MAX_MESSAGE_CHARACTERS = 1000
MAX_WARNINGS = 16
MAX_WARNING_CHARACTERS = 300


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request to cut out the subject of one image. Only `image` is required.

    `{"image": "s3://bucket/photo.jpg"}` is a valid request.
    """

    image: Annotated[
        Address,
        Meta(description="Address of the image: `s3://`, `gs://`, `az://`, `https://`, `http://` or `file://`."),
    ]
    id: Annotated[
        RequestId | None,
        Meta(
            description="Identifies the result and its objects. Unset: the CloudEvent's id, or topic-partition-offset."
        ),
    ] = None
    profile: Annotated[
        Name | None,
        Meta(description="Profile that finds the subject. `auto`: the most precise profile that is fast enough."),
    ] = None
    hint: Annotated[
        Literal["speed", "quality"] | None,
        Meta(
            description="For profile `auto`. `speed`: always the fastest profile. `quality`: the most precise one that "
            "meets the deadline, however many requests wait."
        ),
    ] = None
    outputs: Annotated[
        tuple[OutputName, ...],
        Meta(
            min_length=1,
            max_length=6,
            description="Images to make. `cutout`: the subject on transparency. `mask`: its alpha as a grey image. "
            "`composite`: the subject on `background`. `overlay`: the source with the subject tinted. `background`: "
            "the source with the subject removed. `layers`: a zip with the layers of the composite.",
            extra_json_schema={"uniqueItems": True},
        ),
    ] = ("cutout",)
    format: Annotated[
        Literal["auto", "png", "webp", "jpeg", "zip"],
        Meta(
            description="File format of the outputs. `auto`: PNG for masks and for outputs with transparency, else "
            "JPEG. `zip`: the cutout as a zip with its colours as JPEG and its alpha as PNG. Capitals and `jpg` are "
            "understood."
        ),
    ] = "auto"
    quality: Annotated[int, Meta(ge=1, le=100, description="Quality of JPEG and of lossy WebP. 100 is best.")] = 90
    channels: Annotated[
        Literal["rgba", "alpha"], Meta(description="Channels of the cutout: colour and alpha, or alpha only.")
    ] = "rgba"
    size: Annotated[
        Literal["auto", "preview", "medium", "hd", "full"],
        Meta(
            description="Most megapixels of an output: 0.25 for `preview`, 1.5 for `medium`, 4 for `hd`. `full` and "
            "`auto`: the size of the source."
        ),
    ] = "auto"
    roi: Annotated[
        Name | None, Meta(description="Region of interest, `x1 y1 x2 y2` in px or %. Pixels outside are background.")
    ] = None
    crop: Annotated[bool, Meta(description="Crop the outputs to the subject.")] = False
    crop_margin: Annotated[
        Name | None,
        Meta(description="Margin to keep around the subject with `crop`: 1, 2 or 4 values in px or %, in CSS order."),
    ] = None
    scale: Annotated[
        Name | None,
        Meta(
            description="Size of the subject: `original`, or 10 % to 100 % of the largest size that fits on the canvas."
        ),
    ] = None
    position: Annotated[
        Name | None,
        Meta(
            description="Position of the subject: `original`, `center`, or 1 or 2 percentages of the free space, from "
            "the left and from the top."
        ),
    ] = None
    canvas: Annotated[
        Name | None,
        Meta(description="Size of the outputs, `<width>x<height>` in px. Unset: the size of the source, after `crop`."),
    ] = None
    perspective: Annotated[
        Perspective | None, Meta(description="Perspective placement of the subject, instead of `scale` and `position`.")
    ] = None
    refine: Annotated[
        Name | RefineParameters,
        Meta(description="How the network's matte is refined: the name of a preset, or parameters."),
    ] = "soft"
    matting: Annotated[
        MattingMethod | Matting | None,
        Meta(description="Estimate alpha again in a band around the edge, for hair and fur. Unset: do not."),
    ] = None
    decontaminate: Annotated[
        bool | None,
        Meta(
            description="Remove the colour of the old background from the soft edges of cutout, composite and layers. "
            "Unset: only from those of composite and layers, if they have a background."
        ),
    ] = None
    background: Annotated[Background, Meta(description="Background of the composite and its layers.")] = Background()
    shadow: Annotated[
        ShadowType | Shadow | None, Meta(description="Shadow of the subject, on composite and layers. Unset: none.")
    ] = None
    harmonise: Annotated[
        HarmoniseMethod | Harmonise | None,
        Meta(description="Adapt the subject's colours to the background. Unset: do not."),
    ] = None
    inpaint: Annotated[
        Inpainting,
        Meta(description="Method that fills the area of the subject in output `background`."),
    ] = "telea"
    existing_alpha: Annotated[
        ExistingAlpha,
        Meta(
            description="Alpha channel of the source: keep it instead of the model's, multiply both, or ignore it. "
            "`auto` keeps it if the source is cut out already: at least a quarter of its border is transparent."
        ),
    ] = "auto"
    keep_metadata: Annotated[
        bool, Meta(description="Copy the ICC profile and the resolution of the source to the outputs.")
    ] = False
    destination: Annotated[
        Address | None, Meta(description="Address prefix of the output objects. Unset: the default of the deployment.")
    ] = None
    deadline: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="Time after which the request is not processed any further. Its result is then `expired`."),
    ] = None
    labels: Labels = {}
    replay: Replay = 0

    def __post_init__(self) -> None:
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("`outputs` names the same output twice")


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An output in the object store. It is stored durably before the result that names it can be read."""

    output: OutputName
    uri: Annotated[str, Meta(description="Address of the object.")]
    bytes: Annotated[int, Meta(description="Size of the object.")]
    sha256: Annotated[str, Meta(description="SHA-256 of the object, in hexadecimal.")]
    width: Annotated[int, Meta(description="Width of the image in px.")]
    height: Annotated[int, Meta(description="Height of the image in px.")]
    media_type: Annotated[str, Meta(description="Media type, for instance `image/png`.")]


class BoundingBox(msgspec.Struct, frozen=True, kw_only=True):
    """Bounding box of the subject in the upright source, in px."""

    foreground_left: Annotated[int, Meta(description="Distance from the left edge of the source.")]
    foreground_top: Annotated[int, Meta(description="Distance from the top edge of the source.")]
    foreground_width: Annotated[int, Meta(description="Width of the box.")]
    foreground_height: Annotated[int, Meta(description="Height of the box.")]


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The Triton ensemble that found the subject."""

    name: Annotated[str, Meta(description="Name of the ensemble.")]
    version: Annotated[str, Meta(description="Version of the ensemble in Triton.")]
    digest: Annotated[
        str, Meta(description="Digest of the ensemble's weights and wiring. Empty if the server states none.")
    ]
    networks: Annotated[
        tuple[str, ...], Meta(description="Networks that the ensemble runs. Empty if the server states none.")
    ] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why `auto` chose the profile."""

    reason: Annotated[
        Literal["time", "hint", "deadline", "backlog"],
        Meta(
            description="`time`: there was time for the most precise profile. `hint`: the request asked for it. "
            "`deadline`: a more precise one would have missed the deadline. `backlog`: a more precise one would have "
            "kept the waiting requests too long."
        ),
    ]
    detail: Annotated[str, Meta(description="The figures behind the reason, for people.")]


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of the request in Kafka. A retry or a replay keeps it."""

    topic: Annotated[str, Meta(description="Topic of the record.")]
    partition: Annotated[int, Meta(description="Partition of the record.")]
    offset: Annotated[int, Meta(description="Offset of the record.")]
    timestamp_ms: Annotated[int, Meta(description="Timestamp of the record, in milliseconds since the Unix epoch.")]


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reason why a request has no outputs."""

    code: Annotated[str, Meta(description="Error code, one of those in docs/errors.md.")]
    message: Annotated[str, Meta(description="What is wrong, with the field or setting, for people.")]
    stage: Annotated[
        str, Meta(description="Stage of the pipeline that failed, or `request` for a request that was refused.")
    ]
    retryable: Annotated[bool, Meta(description="True if the same request may succeed when it is sent again.")]
    cause: Annotated[
        str | None,
        Meta(
            description="With `expired`: code of the error for which there would have been another attempt, such as "
            "that its source was not available, if there had been time."
        ),
    ] = None

    @classmethod
    def of(cls, error: CutstreamError, stage: str) -> ErrorDetail:
        """Describe an error, with a clipped message: it may quote the request, and a result has to fit a record.

        The message may also quote what is not Unicode, or what would control a terminal.
        """
        message = _clip(str(error), MAX_MESSAGE_CHARACTERS)
        cause = error.cause if isinstance(error, Expired) else None
        return cls(code=error.code, message=message, stage=stage, retryable=error.retryable, cause=cause)


class WarningDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a file that the outputs do not show as the requester may expect."""

    code: Annotated[
        WarningCode,
        Meta(
            description="`first_of_several`: the file holds several pictures, and its first or main one was taken. "
            "`missing_profile`: CMYK without a colour profile, so that the colours are approximate. "
            "`unusable_profile`: a colour profile that cannot be used or kept. `unusable_metadata`: EXIF, texts or a "
            "resolution that cannot be read or kept. `damaged_data`: damage that leaves every pixel there."
        ),
    ]
    message: Annotated[
        str,
        Meta(
            description="What was found and what was done, for people. Begins with `background: ` if it is about the "
            "background picture."
        ),
    ]


def describe_warnings(warnings: Iterable[ImageWarning]) -> tuple[WarningDetail, ...]:
    """Return the warnings for a result: each once, at most MAX_WARNINGS, with clipped messages."""
    clipped = (WarningDetail(code=w.code, message=_clip(w.message, MAX_WARNING_CHARACTERS)) for w in warnings)
    return tuple(dict.fromkeys(clipped))[:MAX_WARNINGS]


def _clip(text: str, characters: int) -> str:
    return printable(text[:characters])[:characters]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The one result of a request. All fields are always present. `error` is null exactly when `status` is `ok`."""

    id: Annotated[
        AnyId,
        Meta(description="Id of the request, or of its CloudEvent, unchanged, or `<topic>-<partition>-<offset>`."),
    ]
    status: Annotated[
        Status,
        Meta(
            description="`failed`: there is a dead letter as well. `expired`: the deadline passed. `cancelled`: the "
            "request was called off."
        ),
    ]
    source: SourceRecord
    image: Annotated[
        str | None,
        Meta(
            description="Address of the image as the request names it, but with `…` for a user, a password or a query: "
            "these may be secret. Null if it could not be read."
        ),
    ] = None
    objects: tuple[StoredObject, ...] = ()
    bbox: BoundingBox | None = None
    coverage: Annotated[Share | None, Meta(description="Mean alpha: the share of the source that is subject.")] = None
    uncertainty: Annotated[
        Share | None, Meta(description="Uncertainty of the matte: 0 is certain, 1 is undecided everywhere.")
    ] = None
    profile: Annotated[
        str | None, Meta(description="Profile that was used. Null if the request could not be read.")
    ] = None
    choice: Annotated[Choice | None, Meta(description="Reason for the profile, for requests of profile `auto`.")] = None
    model: ServedModel | None = None
    timings_ms: Annotated[
        dict[str, float], Meta(description="Milliseconds of work in each stage, without waiting.")
    ] = {}
    attempts: Annotated[
        int,
        Meta(
            ge=1, description="Attempts to process the request. More than 1 if its source was not available at first."
        ),
    ] = 1
    warnings: Annotated[
        tuple[WarningDetail, ...],
        Meta(
            description="What the outputs do not show as expected, because of the files. A failed request has those "
            "that were found before it failed."
        ),
    ] = ()
    error: ErrorDetail | None = None
    labels: Labels = {}
    replay: Replay = 0

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.error is None):
            raise ValueError(f"a result that is {self.status!r} must {'not ' * (self.status == 'ok')}have an error")


def status_of(error: CutstreamError) -> Status:
    """Return the status of a request that ends with this error."""
    match error:
        case Expired():
            return "expired"
        case Cancelled():
            return "cancelled"
        case _:
            return "failed"


_encoder = msgspec.json.Encoder()
_request_decoder = msgspec.json.Decoder(Request)
_fields_decoder = msgspec.json.Decoder(float_hook=float)  # 1e400, which is JSON, becomes infinity
_result_decoder = msgspec.json.Decoder(Result)

# Errors that decoding bytes raises. msgspec raises RecursionError for brackets that are nested thousands deep.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode(message: Request | Result) -> bytes:
    """Encode a message as JSON."""
    return _encoder.encode(message)


def decode_request(value: bytes) -> Request:
    """Decode a request, which may spell its values in any way that the JSON Schema allows.

    Raises InvalidRequest with a message that names the field and what it expects, or says what a value looks like that
    is not JSON.
    """
    text = without_bom(value)
    try:
        return _request_decoder.decode(text)
    except msgspec.ValidationError as exc:
        return _decode_spelled(text, exc)
    except DECODE_ERRORS as exc:
        raise InvalidRequest(explain_unreadable(text, exc)) from exc


def _decode_spelled(text: bytes, error: msgspec.ValidationError) -> Request:
    """Decode a request that the decoder refuses as it is, with `error`."""
    fields: object = None
    try:
        fields = respell(_fields_decoder.decode(text))
        return msgspec.convert(fields, Request)
    except msgspec.ValidationError as exc:
        if isinstance(fields, dict) and "specversion" in fields:
            raise InvalidRequest(
                "the request is a CloudEvent in structured mode: send it with the header "
                "`content-type: application/cloudevents+json`"
            ) from exc
        shown = error if fields is None else exc
        raise InvalidRequest(explain(shown, Request, fields)) from exc
    except DECODE_ERRORS as exc:
        raise InvalidRequest(explain_unreadable(text, exc)) from exc


def decode_result(value: bytes) -> Result:
    """Decode a result, for readers of results. Raises msgspec.DecodeError if it is not one."""
    return _result_decoder.decode(value)
