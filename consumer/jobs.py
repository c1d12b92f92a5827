"""What travels through the pipeline: the job, and the value that each stage hands to the next."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from consumer.resources.backgrounds import Backdrop
from cutstream.clients.kafka import Record
from cutstream.clients.triton import Ensemble
from cutstream.compositing.compose import Output
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import BoundingBox, Choice, Request, StoredObject
from cutstream.images import Image, Matte

Trace: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Job:
    """One request under way. `lease` holds what its photo reserves (memory) until the outcome is known; the earlier
    `started_s` (monotonic), the sooner it gets a stage's place. Fetch sets `backdrop` where the request asks for a
    background picture; with `auto`, segment sets `profile` and `choice`."""

    record: Record
    request: Request
    id: str
    profile: str
    auto: bool = False
    choice: Choice | None = None
    backdrop: Backdrop | None = None
    trace: Trace = ()
    started_s: float = 0.0
    segmented_s: float | None = None
    stage: str = "request"
    attempts: int = 1
    timings_ms: dict[str, float] = field(default_factory=dict)
    lease: ExitStack = field(default_factory=ExitStack)

    def expired(self, now: datetime) -> bool:
        return self.request.deadline is not None and now >= self.request.deadline


@dataclass(frozen=True, slots=True)
class Segmented:
    """`matte` is the ensemble's size after segment, the picture's size after refine; `uncertainty` is the first's.

    `depth` (u8 HW, 255 nearest) has the ensemble's size until refine as well; None where the request needs none.
    """

    image: Image
    matte: Matte
    uncertainty: float
    ensemble: Ensemble
    depth: Matte | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the result says about the subject, in source pixels."""

    bbox: BoundingBox
    coverage: float
    uncertainty: float
    ensemble: Ensemble


@dataclass(frozen=True, slots=True)
class Composed:
    outputs: tuple[Output, ...]
    image: Image
    findings: Findings


@dataclass(frozen=True, slots=True)
class File:
    """An encoded output, not yet stored."""

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
    objects: tuple[StoredObject, ...]
    findings: Findings
