"""What travels through the worker: a job, its progress, and the value that each stage hands to the next.

A job and a value never change. What a stage makes is in the value it returns; what the runner measures is in the job's
progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from consumer.resources.profile_selector import Selection
from cutstream.clients.kafka import Record
from cutstream.clients.triton import Ensemble
from cutstream.compositing.background import BackgroundPicture
from cutstream.compositing.compose import Output
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import StoredObject
from cutstream.contract.recipe import Recipe
from cutstream.images import Image, Matte
from cutstream.images.geometry import Box

Trace: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One admitted request: the record it came in, its identity, and its recipe."""

    record: Record
    id: str
    profile: str  # as requested: may be `auto`
    recipe: Recipe
    labels: Mapping[str, str] = field(default_factory=dict)
    replay: int = 0
    trace: Trace = ()


@dataclass(slots=True)
class Progress:
    """How far a job has come. Times are monotonic seconds; `timings_ms` is work per stage, without waiting."""

    started_s: float
    stage: str = "request"
    attempts: int = 1
    timings_ms: dict[str, float] = field(default_factory=dict)
    finished_s: dict[str, float] = field(default_factory=dict)
    selection: Selection | None = None

    def finish(self, stage: str, value: object, now_s: float) -> None:
        """Note that a stage has returned `value`. A later failure still reports which profile was selected."""
        self.finished_s[stage] = now_s
        if isinstance(value, Segmented):
            self.selection = value.segmentation.selection


@dataclass(frozen=True, slots=True)
class Fetched:
    """The photo's bytes, not yet looked at, and the picture behind the subject if the request names one."""

    data: bytes
    background: BackgroundPicture | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    image: Image
    background: BackgroundPicture | None = None


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How the subject was found: by which profile and model, and how undecided the network's own matte is (0..1)."""

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
    """What the result says about the subject: its box in pixels of the source, and its share of the source (0..1)."""

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
    files: tuple[File, ...]
    findings: Findings


@dataclass(frozen=True, slots=True)
class Stored:
    """`objects` are durable."""

    objects: tuple[StoredObject, ...]
    findings: Findings


def origin_id(record: Record) -> str:
    """Return the id of a request that brings none: where its record lies, which is unique and never changes."""
    return f"{record.partition.topic}-{record.partition.number}-{record.offset}"
