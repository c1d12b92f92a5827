from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, StoredObject, WarningDetail
from producer.collecting import CELL_PX, draw_thumbnail, summarise_batch, write_contact_sheet, write_summary
from producer.following import Batch
from tests.support.pictures.heic import heic

SOURCE = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)
ERROR = ErrorDetail(code="file_too_large", message="31 MB", stage="fetch", retryable=False)


def ok(id: str) -> Result:
    cutout = StoredObject(
        output="cutout",
        uri=f"file:///out/{id}.png",
        bytes=1,
        sha256="0" * 64,
        width=2,
        height=2,
        media_type="image/png",
    )
    return Result(id=id, status="ok", source=SOURCE, objects=(cutout,))


def batch(count: int) -> Batch:
    """Return a batch of `count` successes, one failure and one expired request."""
    results = {f"photo-{n}": ok(f"photo-{n}") for n in range(count)}
    results["bad"] = Result(id="bad", status="failed", source=SOURCE, error=ERROR)
    results["late"] = Result(id="late", status="expired", source=SOURCE, error=ERROR)
    requests = {id: Request(image=f"file:///in/{id}.jpg", id=id) for id in results}
    latencies = {id: 0.1 * (n + 1) for n, id in enumerate(results)}
    return Batch(requests, results, latencies_s=latencies, duplicates=1, duration_s=2.0)


def fetch(uri: str) -> bytes:
    """Return a red photo, twice as wide as high, or a fully transparent cutout."""
    image = (
        Image.new("RGB", (400, 200), "red")
        if uri.startswith("file:///in/")
        else Image.new("RGBA", (400, 200), (0,) * 4)
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_summary_counts_results_and_lists_photos(tmp_path: Path) -> None:
    written = json.loads(write_summary(batch(2), tmp_path).read_text())
    assert written == summarise_batch(batch(2))
    photos = written.pop("photos")
    assert written == {
        "requests": 4,
        "ok": 2,
        "failed": 2,
        "duplicates": 1,
        "seconds": 2.0,
        "images_per_second": 2.0,
        "p50_ms": pytest.approx(200, abs=1),
        "p95_ms": pytest.approx(400, abs=1),
    }
    assert photos[0] == {
        "id": "photo-0",
        "source": "file:///in/photo-0.jpg",
        "status": "ok",
        "objects": ["file:///out/photo-0.png"],
    }
    assert [photo["status"] for photo in photos] == ["ok", "ok", "failed", "expired"]
    assert photos[2]["error"] == {"code": "file_too_large", "message": "31 MB"}


def test_the_summary_names_the_warnings_of_a_photo() -> None:
    warned = batch(1)
    warning = WarningDetail(code="first_of_several", message="2 pages")
    warned.results["photo-0"] = msgspec.structs.replace(warned.results["photo-0"], warnings=(warning,))
    photos = summarise_batch(warned)["photos"]
    assert photos[0]["warnings"] == ["first_of_several: 2 pages"]
    assert "warnings" not in photos[1]


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 4, 1), (5, 3, 2), (30, 4, 6)])
def test_the_contact_sheet_is_as_large_as_its_pairs(tmp_path: Path, count: int, columns: int, rows: int) -> None:
    path = write_contact_sheet(batch(count), tmp_path, fetch)
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", (columns * 2 * CELL_PX, rows * CELL_PX))


def test_the_photo_is_left_of_its_cutout_on_a_chequerboard(tmp_path: Path) -> None:
    path = write_contact_sheet(batch(1), tmp_path, fetch)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    middle = slice(CELL_PX // 2 - 40, CELL_PX // 2 + 40)
    source, cutout = pixels[middle, middle], pixels[middle, CELL_PX + middle.start : CELL_PX + middle.stop]
    assert np.abs(source - (254, 0, 0)).max() < 12
    assert np.ptp(cutout) > 40  # the chequerboard
    assert np.abs(cutout - cutout[..., :1]).max() < 12  # and nothing else


def test_no_success_makes_no_contact_sheet(tmp_path: Path) -> None:
    assert write_contact_sheet(batch(0), tmp_path, fetch) is None
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_only_the_worker_can_read_is_drawn_as_well() -> None:
    thumbnail = draw_thumbnail(heic(np.full((60, 120, 3), (200, 30, 30), np.uint8)))
    assert thumbnail.width == pytest.approx(2 * thumbnail.height, abs=2)
    assert np.abs(np.asarray(thumbnail.convert("RGB")).astype(int) - (200, 30, 30)).max() < 12
