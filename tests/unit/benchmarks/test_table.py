from __future__ import annotations

import json

from benchmarks.machine import RESULTS
from benchmarks.table import BEGIN, END, PAGE, insert_table


def line(profile: str, rate: float) -> dict[str, object]:
    return {
        "profile": profile,
        "machine": {"cpu": "CPU", "cores": 2},
        "images_per_second": rate,
        "bound_images_per_second": 10.0,
        "ratio_to_bound": rate / 10,
        "ratio_of_each_turn": [0.8, 0.7],
        "overhead_ms": 2.4,
        "p50_ms": 99.6,
        "p95_ms": 200.0,
    }


def test_the_last_line_of_each_profile_replaces_the_table_and_nothing_else() -> None:
    page = insert_table(
        f"before\n{BEGIN}old\n{END}\nafter\n", [line("fast", 1.0), line("general", 2.0), line("fast", 7)]
    )
    assert page.startswith(f"before\n{BEGIN}| machine | profile |")
    assert page.endswith(f"{END}\nafter\n")
    assert page.splitlines()[4:6] == [
        "| CPU, 2 cores | `fast` | 7.0 | 10.0 | 0.70 | 0.70 to 0.80 | 2 ms | 100 ms | 200 ms |",
        "| CPU, 2 cores | `general` | 2.0 | 10.0 | 0.20 | 0.70 to 0.80 | 2 ms | 100 ms | 200 ms |",
    ]


def test_the_published_table_shows_the_recorded_results() -> None:
    lines = map(json.loads, (RESULTS / "throughput.jsonl").read_text().splitlines())
    page = PAGE.read_text(encoding="utf-8")
    assert insert_table(page, lines) == page, "run `python -m benchmarks.table`"
