"""The report of a run, for people (report.md) and for programs (report.json)."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from deploy.local.jars import BROKER
from tests.e2e.chaos.run import RECOVERY_S, FaultLine, Outcome

_FOLDERS = re.compile(r"/\S*/(?=\S+\.log\b)")  # of the run, which are gone after it
REPORTS = FIGURES, PAGE = "report.json", "report.md"
PACKAGES = ("kafka-python", "tritonclient", "nvidia-pytriton", "openvino", "obstore")


def write_report(outcome: Outcome, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    figures = summarise(outcome)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n")
    page = folder / PAGE
    page.write_text(render(figures))
    return page


def summarise(outcome: Outcome) -> dict[str, Any]:
    options, evidence = outcome.options, outcome.evidence
    counted = Counter(violation.kind for violation in outcome.violations)
    recovery = [line.recovered_s for line in outcome.faults if line.recovered_s is not None]
    first = [line.first_result_s for line in outcome.faults if line.first_result_s is not None]
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **describe_machine(),
        "versions": versions(),
        "options": {"N": options.requests, "SEED": options.seed, "FAULTS": options.faults, "workers": options.workers},
        "seconds": round(outcome.seconds, 1),
        "totals": {
            "requests": len(evidence.requests),
            "results": len(evidence.results),
            "statuses": dict(Counter(result.status for result in evidence.results)),
            "dead_letters": len(evidence.letters),
            "objects": sum(len(result.objects) for result in evidence.results),
            "violations": dict(counted),
        },
        "first_result_s": _spread(first),
        "recovery_s": _spread(recovery),
        "recovered_late": sum(seconds > RECOVERY_S for seconds in recovery) + len(outcome.faults) - len(recovery),
        "longest_idle_s": round(max((idle.idle_s for idle in outcome.idle), default=0.0), 1),
        "not_there": outcome.missing,
        "reports": outcome.notes,
        "faults": [_rounded(line) for line in sorted(outcome.faults, key=lambda line: line.began_s)],
        "violations": [asdict(violation) for violation in outcome.violations],
    }


def versions() -> dict[str, str]:
    """Return the versions of the parts that a run depends on."""
    return {"kafka": BROKER, **{name: version(name) for name in PACKAGES}}


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"median": round(statistics.median(values), 1), "max": round(max(values), 1)}


def _rounded(line: FaultLine) -> dict[str, Any]:
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(line).items()}


def render(figures: dict[str, Any]) -> str:
    options, totals = figures["options"], figures["totals"]
    lines = [
        f"# Chaos run, seed {options['SEED']}",
        "",
        f"`make chaos N={options['N']} SEED={options['SEED']} FAULTS={options['FAULTS']}` at commit "
        f"{figures['commit']}{' with changes' if figures['dirty'] else ''}, {figures['time']}. "
        f"{figures['machine']['cores']} cores of {figures['machine']['cpu']}, Python {figures['machine']['python']}, "
        + ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
        + ".",
        "",
        *_table(
            ("", "count"),
            [
                ("requests", totals["requests"]),
                ("results", totals["results"]),
                *((f"results that are {status}", count) for status, count in totals["statuses"].items()),
                ("dead letters", totals["dead_letters"]),
                ("objects compared with the quiet run", totals["objects"]),
                ("violations", sum(totals["violations"].values())),
            ],
        ),
        "",
        f"The run took {figures['seconds']:g} s. After the end of a fault the next result came within "
        f"{_max(figures['first_result_s'])}, and the rate of before within {_max(figures['recovery_s'])} "
        f"({figures['recovered_late']} of {options['FAULTS']} took more than {RECOVERY_S:g} s). Without a fault, no "
        f"partition with work stood still for more than {figures['longest_idle_s']:g} s.",
        "",
        *(f"Not there, so not tried: {part} ({reason})." for part, reason in figures["not_there"].items()),
        "## Violations",
        "",
        *([f"* {v['kind']}: {v['detail']}" for v in figures["violations"]] or ["None."]),
        "",
        "## What the local stack said about its servers",
        "",
        *(f"* {_FOLDERS.sub('', report.partition(chr(10))[0])}" for report in figures["reports"]),
        "",
        "## Faults",
        "",
        *_table(
            (
                "begins at s",
                "fault",
                "target",
                "lasts s",
                "first result after s",
                "full rate after s",
                "rate before /s",
            ),
            [
                (
                    line["began_s"],
                    line["kind"],
                    line["target"],
                    round(line["ended_s"] - line["began_s"], 1),
                    line["first_result_s"],
                    line["recovered_s"],
                    line["rate_before"],
                )
                for line in figures["faults"]
            ],
        ),
        "",
    ]
    return "\n".join(lines)


def _max(spread: dict[str, float]) -> str:
    return f"{spread['max']:g} s (median {spread['median']:g} s)" if spread else "no time at all: there was none"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join('–' if cell is None else str(cell) for cell in row)} |" for row in rows),
    ]
