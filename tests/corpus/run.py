"""Run mutants through the decoder, and gather outcomes and violations."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cutstream.images import Image
from tests.corpus.decoding import MeasuredDecoder, Outcome, measured_decoder
from tests.corpus.judgement import Verdict, judge
from tests.corpus.mutants import Mutant, mutant
from tests.corpus.originals import original


@dataclass(frozen=True)
class Violation:
    mutant: Mutant
    outcome: Outcome
    verdict: Verdict

    @property
    def reproduce(self) -> str:
        return f"python -m tests.corpus --seed {self.mutant.seed} --only {self.mutant.number}"

    def __str__(self) -> str:
        mutant, outcome = self.mutant, self.outcome
        held = f"{outcome.peak_bytes / 1e6:.0f} of {outcome.reserved_bytes / 1e6:.0f} MB"
        bars, done = ", ".join(self.verdict.violations), "+".join(mutant.kinds)
        return (
            f"{bars}: {mutant.name} after {done} ended as {outcome.code} in {outcome.seconds:.2f} s, {held}; "
            f"{self.verdict.why or outcome.message}; again: {self.reproduce}"
        )


@dataclass
class Tally:
    """What a run has seen. `outcomes` counts by format and code; the peaks are those of the worst file."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest_header_s: float = 0.0
    fullest: float = 0.0  # share of its reservation
    restarts: int = 0

    def add(self, mutant: Mutant, outcome: Outcome, verdict: Verdict) -> None:
        self.outcomes.setdefault(mutant.format, Counter())[outcome.code] += 1
        if outcome.image is not None:
            self.reasons[verdict.why] += 1
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.slowest_header_s = max(self.slowest_header_s, outcome.header_s)
        if outcome.reserved_bytes:
            self.fullest = max(self.fullest, outcome.peak_bytes / outcome.reserved_bytes)
        if verdict.violations:
            self.violations.append(Violation(mutant, outcome, verdict))


def run_mutants(
    seed: int, numbers: Iterable[int], save: Path | None = None, progress: Callable[[int], None] = lambda number: None
) -> Tally:
    """Decode and judge mutants. Those that violate a bar are written to the folder `save`."""
    tally = Tally()
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), measured_decoder() as decoder:
        warnings.simplefilter("ignore")  # of other decoders about damaged files
        undamaged: dict[str, Image] = {}
        for number in numbers:
            one = mutant(seed, number)
            if one.name not in undamaged:
                undamaged[one.name] = _undamaged(decoder, one.name)
            outcome = decoder.decode(one.data)
            tally.add(one, outcome, judge(one, outcome, undamaged[one.name]))
            progress(number)
        tally.restarts = decoder.restarts
    for violation in tally.violations if save else ():
        _write(violation.mutant, save)
    return tally


def _undamaged(decoder: MeasuredDecoder, name: str) -> Image:
    outcome = decoder.decode(original(name))
    assert outcome.image is not None, f"{name}: {outcome.message}"
    return outcome.image


def _write(mutant: Mutant, folder: Path | None) -> None:
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{mutant.seed}-{mutant.number}-{mutant.name.replace('/', '-')}").write_bytes(mutant.data)
