"""The data that travels through the worker: jobs, their progress, and the values between the stages.

Jobs and values never change. A stage returns its result as a new value; the runner records its measurements in the
job's progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from consumer.resources.profile_selector import Selection
from cutstream.clients.kafka import Record
from cutstream.clients.triton import Ensemble
from cutstream.compositing.background import BackgroundPicture
from cutstream.compositing.compose import Output
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import SourceRecord, StoredObject
from cutstream.contract.recipe import Recipe
from cutstream.contract.redelivery import Redelivery, read_redelivery, without_redelivery
from cutstream.images import Image, ImageWarning, Matte
from cutstream.images.geometry import Box
from cutstream.metrics import Exemplar

Trace: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One admitted request: the record it came in, its identity, and its recipe.

    `origin` is the request's first record. `attempts` counts the attempts before this delivery, and `untried` the
    deliveries without one: the record may be a retry or a replay. `replay` counts the replays by the requester and
    those from the dead letters.
    """

    record: Record
    origin: SourceRecord
    id: str
    profile: str  # as requested: may be `auto`
    recipe: Recipe
    labels: Mapping[str, str] = field(default_factory=dict)
    replay: int = 0
    attempts: int = 0
    untried: int = 0
    trace: Trace = ()

    @property
    def exemplar(self) -> Exemplar:
        """The id of the request's trace, which its measurements lead to. None without a trace."""
        for name, value in self.trace:
            if name == "traceparent":
                return {"trace_id": value.split(b"-")[1].decode("ascii")}  # well-formed, or it would not be here
        return None

    @property
    def is_redelivered(self) -> bool:
        """True if the record comes from the retry topic."""
        return self.record.partition.topic != self.origin.topic


@dataclass(frozen=True, slots=True)
class Preview:
    """A photo and its cutout as small files, for the live page. `width` and `height` are those of the photo."""

    photo: bytes
    cutout: bytes
    width: int
    height: int


@dataclass(slots=True)
class Progress:
    """The progress of a job. Times are monotonic seconds; `timings_ms` is the work per stage, without waiting.

    `warnings` are those of the stages that have finished: a request that fails later keeps them. Few photos have a
    `preview`.
    """

    started_s: float
    stage: str = "request"
    attempts: int = 1
    untried: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)
    finished_s: dict[str, float] = field(default_factory=dict)
    selection: Selection | None = None
    warnings: tuple[ImageWarning, ...] = ()
    preview: Preview | None = None

    def finish(self, stage: str, value: object, now_s: float) -> None:
        """Note that a stage has returned `value`. A later failure still reports what is noted here."""
        self.finished_s[stage] = now_s
        match value:
            case Fetched() | Encoded():
                self.warnings += value.warnings
            case Decoded():
                self.warnings += value.image.warnings
            case Segmented():
                self.selection = value.segmentation.selection


@dataclass(frozen=True, slots=True)
class Fetched:
    """The photo's bytes, not yet looked at, and the picture behind the subject if the request names one.

    `warnings` are about that picture.
    """

    data: bytes
    background: BackgroundPicture | None = None
    warnings: tuple[ImageWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    image: Image
    background: BackgroundPicture | None = None


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The profile and the model that found the subject, and how undecided the network's own matte is (0..1)."""

    selection: Selection
    model: Ensemble
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Segmented:
    """`matte` and `depth` (255 is nearest; only if the request needs it) are u8 HW of the ensemble's size."""

    image: Image
    matte: Matte
    segmentation: Segmentation
    depth: Matte | None = None
    background: BackgroundPicture | None = None


@dataclass(frozen=True, slots=True)
class Refined:
    """`alpha` and `depth` are u8 HW of the image's size."""

    image: Image
    alpha: Matte
    segmentation: Segmentation
    depth: Matte | None = None
    background: BackgroundPicture | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The subject's box in pixels of the source, its share of the source (0..1), and how it was found."""

    box: Box
    coverage: float
    segmentation: Segmentation


@dataclass(frozen=True, slots=True)
class Composed:
    outputs: tuple[Output, ...]
    source: Image  # for its metadata
    findings: Findings


@dataclass(frozen=True, slots=True)
class File:
    """An encoded output that is not yet stored."""

    output: OutputName
    data: bytes
    media_type: str
    extension: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """`warnings` are about metadata that the files do not have although the request asks for it."""

    files: tuple[File, ...]
    findings: Findings
    warnings: tuple[ImageWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """`objects` are durable."""

    objects: tuple[StoredObject, ...]
    findings: Findings


def as_first_written(record: Record) -> Record:
    """Return a record of a topic that requesters write to, without a history that its headers may claim."""
    headers = without_redelivery(record.headers)
    return record if len(headers) == len(record.headers) else replace(record, headers=headers)


def delivery_of(record: Record) -> Redelivery:
    """Return the history of a request up to this delivery. Raises InvalidRequest if its headers cannot be read."""
    return read_redelivery(record.headers) or first_delivery(record)


def first_delivery(record: Record) -> Redelivery:
    """Return the history of a request whose first record this is."""
    return Redelivery(
        SourceRecord(
            topic=record.partition.topic,
            partition=record.partition.number,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
        )
    )


def origin_id(origin: SourceRecord) -> str:
    """Return the id of a request that brings none: where its first record lies, which is unique and never changes."""
    return f"{origin.topic}-{origin.partition}-{origin.offset}"
