"""What a run leaves for people: a line of progress, `failed.csv`, and a contact sheet with names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from cutstream.clients.objects.files import path_of
from producer.folders.work import Tally
from producer.ledger import Job

FAILED_NAME, SHEET_NAME = "failed.csv", "contact-sheet.jpg"
ON_SHEET = 24
_FORMULA = ("=", "+", "-", "@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def describe_progress(tally: Tally) -> str:
    """Return such as `120 of 500 done, 2 failed, 8.1 img/s, 47 s left`."""
    found = f"{tally.total:,}" if tally.complete else f"{tally.total:,} found so far"
    parts = [f"{tally.ok:,} of {found} done"]
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.per_second:
        parts.append(f"{tally.per_second:.1f} img/s")
    if tally.remaining_s:
        parts.append(f"{describe_seconds(tally.remaining_s)} left")
    return ", ".join(parts)


def describe_seconds(seconds: float) -> str:
    """Return such as `47 s`, `12 min` or `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def write_failures(failures: Iterable[Job], path: Path) -> int:
    """Write a line for each photo that has failed, and return how many. Without any, the file is removed."""
    count, text = 0, io.StringIO()
    table = csv.writer(text)
    table.writerow(("photo", "code", "message"))
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        for job in failures:
            table.writerow((_safe_name(job.name), job.code, _safe_text(job.message)))
            file.write(text.getvalue())
            text.seek(0)
            text.truncate()
            count += 1
    if count:
        unfinished.replace(path)
    else:
        unfinished.unlink()
        path.unlink(missing_ok=True)
    return count


def _safe_name(name: str) -> str:
    """Return a path that leads to the same file, and is no formula to a spreadsheet; control characters as in JSON."""
    return _escaped(f"./{name}" if name.startswith(_FORMULA) else name)


def _safe_text(text: str) -> str:
    return _escaped(f"'{text}" if text.startswith(_FORMULA) else text)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_sheet(done: Iterable[Job], folder: Path, fetch: Callable[[str], bytes]) -> Path | None:
    """Draw photos beside their first output, with their names. Return None if there are none."""
    pairs = [(job.name, _reader(job.source, fetch), (folder / job.outputs[0]).read_bytes) for job in done]
    from producer.collecting import draw_contact_sheet  # Pillow, which few commands need

    return draw_contact_sheet(pairs, folder / SHEET_NAME)


def _reader(source: str, fetch: Callable[[str], bytes]) -> Callable[[], bytes]:
    if source.startswith("file://"):
        return Path(path_of(source)).read_bytes
    return lambda: fetch(source)
