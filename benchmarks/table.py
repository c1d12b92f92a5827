"""Write the tables of docs/benchmarks.md from the recorded results: `python -m benchmarks.table`.

Each shows the last line of every profile, or size of photos, in a file of benchmarks/results/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Table:
    """A table between two markers of the page. `key` is the field whose values have a row each."""

    benchmark: str
    key: str
    columns: tuple[str, ...]
    row: Callable[[dict[str, Any]], tuple[str, ...]]

    @property
    def begin(self) -> str:
        return f"<!-- {self.benchmark}:begin -->\n"

    @property
    def end(self) -> str:
        return f"<!-- {self.benchmark}:end -->"

    def insert(self, page: str, lines: Iterable[dict[str, Any]]) -> str:
        """Return the page with the table between its markers replaced by the last line of each key."""
        latest = {line[self.key]: line for line in lines}
        rows = [(_machine(line), *self.row(line)) for line in latest.values()]
        before, begin, rest = page.partition(self.begin)
        _, end, after = rest.partition(self.end)
        assert end, f"{PAGE} has no place for the table of {self.benchmark}"
        head = (self.columns, ("---",) * len(self.columns))
        return f"{before}{begin}{_markdown((*head, *rows))}{end}{after}"


def _markdown(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _machine(line: dict[str, Any]) -> str:
    return f"{line['machine']['cpu']}, {line['machine']['cores']} cores"


def _throughput(line: dict[str, Any]) -> tuple[str, ...]:
    turns = line["ratio_of_each_turn"]
    return (
        f"`{line['profile']}`",
        f"{line['images_per_second']:.1f}",
        f"{line['bound_images_per_second']:.1f}",
        f"{line['ratio_to_bound']:.2f}",
        f"{min(turns):.2f} to {max(turns):.2f}",
        f"{line['overhead_ms']:.0f} ms",
        f"{line['p50_ms']:.0f} ms",
        f"{line['p95_ms']:.0f} ms",
    )


def _delivery(line: dict[str, Any]) -> tuple[str, ...]:
    ratios = line["ratios"]
    return (
        line["commit"],
        line["size"].replace("x", "×"),
        f"{median(line['exactly_once_per_second']):.1f}",
        f"{median(line['at_least_once_per_second']):.1f}",
        f"{line['ratio']:.2f} ± {line['ratio_error']:.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{line['cpu_ratio']:.2f} ± {line['cpu_ratio_error']:.2f}",
        f"{line['others_cores']:.2f}",
    )


TABLES = (
    Table(
        "throughput",
        "profile",
        ("machine", "profile", "images/s", "bound", "ratio", "of each turn", "overhead", "p50", "p95"),
        _throughput,
    ),
    Table(
        "delivery",
        "size",
        (
            "machine",
            "commit",
            "photos",
            "`exactly_once`/s",
            "`at_least_once`/s",
            "ratio",
            "of each pair",
            "ratio by CPU time",
            "cores busy otherwise",
        ),
        _delivery,
    ),
)


def main() -> None:
    PAGE.write_text(insert_tables(PAGE.read_text()))


def insert_tables(page: str) -> str:
    """Return the page with every table as the recorded results have it; without results a table has no rows."""
    for table in TABLES:
        page = table.insert(page, _recorded(RESULTS / f"{table.benchmark}.jsonl"))
    return page


def _recorded(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
