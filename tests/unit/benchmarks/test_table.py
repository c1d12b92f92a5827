from __future__ import annotations

from typing import Any

import pytest

from benchmarks import delivery
from benchmarks.delivery import Turn
from benchmarks.table import PAGE, TABLES, Table, insert_tables

THROUGHPUT, DELIVERY = TABLES


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


def page(table: Table) -> str:
    return f"before\n{table.begin}old\n{table.end}\nafter\n"


def test_the_last_line_of_each_profile_replaces_the_table_and_nothing_else() -> None:
    written = THROUGHPUT.insert(page(THROUGHPUT), [line("fast", 1.0), line("general", 2.0), line("fast", 7)])
    assert written.startswith(f"before\n{THROUGHPUT.begin}| machine | profile |")
    assert written.endswith(f"{THROUGHPUT.end}\nafter\n")
    assert written.splitlines()[4:6] == [
        "| CPU, 2 cores | `fast` | 7.0 | 10.0 | 0.70 | 0.70 to 0.80 | 2 ms | 100 ms | 200 ms |",
        "| CPU, 2 cores | `general` | 2.0 | 10.0 | 0.20 | 0.70 to 0.80 | 2 ms | 100 ms | 200 ms |",
    ]


def test_the_table_of_delivery_shows_what_the_benchmark_records(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[dict[str, Any]] = []

    def record(benchmark: str, **figures: Any) -> dict[str, Any]:
        recorded.append({"benchmark": benchmark, "commit": "c0ffee", "machine": {"cpu": "CPU", "cores": 2}, **figures})
        return recorded[-1]

    monkeypatch.setattr(delivery, "record", record)
    turns = [(90, 11), (98, 10.5)]
    delivery._report(
        "160x120", [{"exactly_once": Turn(*turn, 0.1), "at_least_once": Turn(100, 10, 0.3)} for turn in turns]
    )
    written = DELIVERY.insert(page(DELIVERY), recorded)
    assert written.splitlines()[4] == (
        "| CPU, 2 cores | c0ffee | 160×120 | 94.0 | 100.0 | 0.94 ± 0.08 | 0.90 to 0.98 | 0.93 ± 0.04 | 0.20 |"
    )


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(AssertionError, match="no place"):
        DELIVERY.insert("before\nafter\n", [])


def test_the_published_tables_show_the_recorded_results() -> None:
    published = PAGE.read_text(encoding="utf-8")
    assert insert_tables(published) == published, "run `python -m benchmarks.table`"
