"""Write the throughput table of docs/benchmarks.md: `python -m benchmarks.table`.

It shows the last line of each profile in benchmarks/results/throughput.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured:begin -->\n", "<!-- measured:end -->"
HEAD = """\
| machine | profile | images/s | bound | ratio | of each turn | overhead | p50 | p95 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    lines = map(json.loads, (RESULTS / "throughput.jsonl").read_text().splitlines())
    PAGE.write_text(insert_table(PAGE.read_text(), lines))


def insert_table(page: str, lines: Iterable[dict[str, Any]]) -> str:
    """Return the page with the table between its markers replaced by the last line of each profile."""
    latest = {line["profile"]: line for line in lines}
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{HEAD}{''.join(map(_row, latest.values()))}{END}{after}"


def _row(line: dict[str, Any]) -> str:
    machine = f"{line['machine']['cpu']}, {line['machine']['cores']} cores"
    return (
        f"| {machine} | `{line['profile']}` | {line['images_per_second']:.1f} | {line['bound_images_per_second']:.1f} "
        f"| {line['ratio_to_bound']:.2f} | {_range(line)} | {line['overhead_ms']:.0f} ms | {line['p50_ms']:.0f} ms "
        f"| {line['p95_ms']:.0f} ms |\n"
    )


def _range(line: dict[str, Any]) -> str:
    turns = line["ratio_of_each_turn"]
    return f"{min(turns):.2f} to {max(turns):.2f}"


if __name__ == "__main__":
    main()
