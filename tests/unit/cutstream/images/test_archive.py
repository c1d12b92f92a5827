from __future__ import annotations

import zipfile
from io import BytesIO

from cutstream.images.archive import pack


def test_a_zip_holds_the_files_in_their_order() -> None:
    files = {"layers.json": b"{}", "background.jpg": b"\xff\xd8" * 50, "cutout.png": b""}
    with zipfile.ZipFile(BytesIO(pack(files))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert archive.namelist() == list(files)


def test_the_same_files_give_the_same_bytes_at_any_time(monkeypatch) -> None:
    first = pack({"a.png": b"1"})
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert pack({"a.png": b"1"}) == first
