"""The seeded schedule: which fault begins when, what it hits and how long it lasts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

OVERLAP_SHARE = 0.15
WATCH_S = (3.0, 6.0)

# The session of the workers is 6 s: `frozen` is shorter, `lost` longer. Seconds that each kind of fault lasts.
HOLD_S: Mapping[str, tuple[float, float]] = {
    "worker killed": (0.5, 2.0),
    "worker frozen": (2.0, 4.0),
    "worker lost": (8.0, 10.0),
    "worker joins": (4.0, 8.0),
    "worker leaves": (1.0, 4.0),
    "worker clock forward": (2.0, 4.0),
    "worker clock back": (2.0, 4.0),
    "triton killed": (0.5, 2.0),
    "triton frozen": (2.0, 4.0),
    "triton lost": (7.0, 9.0),  # longer than the time-out of a call
    "stub killed": (1.0, 2.0),
    "stub frozen": (2.0, 6.0),
    "kafka killed": (0.5, 2.0),
    "kafka frozen": (2.0, 4.0),
    "kafka lost": (8.0, 10.0),
    "store away": (2.0, 8.0),
    "store slow": (3.0, 8.0),
    "store half-open": (3.0, 8.0),
    "store answers 503": (2.0, 8.0),
    "source away": (2.0, 8.0),
    "source slow": (3.0, 8.0),
    "source half-open": (3.0, 8.0),
    "source answers 503": (2.0, 8.0),
    "disk full": (2.0, 6.0),
    "topics grow": (1.0, 2.0),
}
KINDS = tuple(HOLD_S)


@dataclass(frozen=True)
class Fault:
    """A fault. `choice` picks its target among those that exist when it begins."""

    kind: str
    hold_s: float
    choice: int

    @property
    def part(self) -> str:
        """The part of the stack that is hit. Faults of one part never overlap."""
        return self.kind.partition(" ")[0].replace("stub", "triton")


@dataclass(frozen=True)
class Round:
    """One fault, or two of which the second begins while the first one lasts; then `watch_s` without faults."""

    faults: tuple[Fault, ...]
    watch_s: float

    @property
    def planned_s(self) -> float:
        return sum(fault.hold_s for fault in self.faults) + self.watch_s


def draw_schedule(
    count: int, seed: int, kinds: Sequence[str] = KINDS, watch_s: tuple[float, float] = WATCH_S
) -> list[Round]:
    """Draw `count` faults. Every kind occurs as often as any other, give or take one. Equal arguments, equal rounds."""
    chooser = random.Random(seed)
    faults = list(_draw_faults(count, chooser, kinds))
    rounds = []
    while faults:
        group = (faults.pop(),)
        if faults and faults[-1].part != group[0].part and chooser.random() < OVERLAP_SHARE:
            group += (faults.pop(),)
        rounds.append(Round(group, round(chooser.uniform(*watch_s), 1)))
    return rounds


def _draw_faults(count: int, chooser: random.Random, kinds: Sequence[str]) -> Iterator[Fault]:
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += chooser.sample(kinds, len(kinds))
    # All whole sets of kinds are kept; only the last set may be cut.
    drawn = drawn[:count]
    chooser.shuffle(drawn)
    for kind in drawn:
        yield Fault(kind, round(chooser.uniform(*HOLD_S[kind]), 1), chooser.randrange(1 << 16))
