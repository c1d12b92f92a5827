"""Write down a run: a table of formats and outcomes for people, and the same with all violations as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.corpus.run import Tally

SHOWN = 40  # violations; the JSON has all


def table(tally: Tally) -> str:
    codes = list(dict.fromkeys(["ok", *sorted({code for counts in tally.outcomes.values() for code in counts})]))
    lines = [_row("format", [*codes, "violations"])]
    broken = Counter(violation.mutant.format for violation in tally.violations)
    for name, counts in tally.outcomes.items():
        lines.append(_row(name, [str(counts[code]) for code in codes] + [str(broken[name])]))
    sums = [str(sum(counts[code] for counts in tally.outcomes.values())) for code in codes]
    lines.append(_row("all", [*sums, str(len(tally.violations))]))
    lines += ["", "accepted: " + ", ".join(f"{count} {why}" for why, count in tally.reasons.most_common(12))]
    lines.append(
        f"slowest {tally.slowest_s:.2f} s, slowest header {1000 * tally.slowest_header_s:.1f} ms, "
        f"fullest {100 * tally.fullest:.0f} % of the memory reserved, {tally.restarts} decoder restarts"
    )
    return "\n".join([*lines, *map(str, tally.violations[:SHOWN])]) + "\n"


def _row(name: str, cells: list[str]) -> str:
    return f"{name:10}" + "".join(f"{cell:>22}" for cell in cells)


def to_json(seed: int, tally: Tally) -> dict[str, Any]:
    return {
        "seed": seed,
        "outcomes": {name: dict(counts) for name, counts in tally.outcomes.items()},
        "accepted": dict(tally.reasons),
        "slowest_s": round(tally.slowest_s, 3),
        "slowest_header_s": round(tally.slowest_header_s, 4),
        "fullest_share_of_reservation": round(tally.fullest, 3),
        "decoder_restarts": tally.restarts,
        "violations": [
            {
                "bars": violation.verdict.violations,
                "file": violation.mutant.name,
                "number": violation.mutant.number,
                "kinds": violation.mutant.kinds,
                "code": violation.outcome.code,
                "why": violation.verdict.why or violation.outcome.message,
                "reproduce": violation.reproduce,
            }
            for violation in tally.violations
        ],
    }
