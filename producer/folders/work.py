"""What a command wants to have done, with which stack, and what it tells meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutstream.settings import ObjectSettings, Settings
from producer.folders.kinds import LeftOut
from producer.ledger import Job


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a command is to do. `fields` are those of every request.

    `ledger` is the file that remembers what was sent; None: the one of the stream. With `out`, outputs go to that
    folder. With `again`, photos that are done are done again. With `wait`, the command ends when every photo has its
    result, else when all are sent. `in_flight` bounds the photos without a result.
    """

    arguments: Sequence[str]
    fields: Mapping[str, Any]
    ledger: Path | None = None
    out: Path | None = None
    again: bool = False
    overwrite: bool = False
    wait: bool = True
    watch: bool = False
    urgent: bool = False
    anyway: bool = False
    in_flight: int | None = None
    lines: Iterable[str] = ()


@dataclass
class Tally:
    """Where a run is. `total` grows until `complete`; `done` were done before."""

    total: int = 0
    done: int = 0
    ok: int = 0
    failed: int = 0
    waiting: int = 0
    complete: bool = False
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return (self.ok + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def remaining_s(self) -> float | None:
        """About how long it still takes. None while nobody can say."""
        if not self.complete or not self.per_second:
            return None
        return (self.total - self.ok - self.failed) / self.per_second


@dataclass
class Report:
    """What a run tells while it goes on, and what is left of it."""

    warn: Callable[[str], None]
    on_progress: Callable[[Tally], None] = lambda tally: None
    on_sent: Callable[[Job], None] = lambda job: None
    check_stack: Callable[[], None] = lambda: None
    tally: Tally = field(default_factory=Tally)
    left_out: LeftOut = field(default_factory=LeftOut)
    failures: list[Job] = field(default_factory=list)
    successes: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Stream:
    """The stack that does the work: its settings, what its workers may read, and its inbox if it has one."""

    settings: Settings
    workers_objects: ObjectSettings
    inbox: Path | None = None
