from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, WarningDetail
from cutstream.errors import InvalidOption
from producer.demo import demo_settings, summary_table
from producer.following import Batch


def test_the_folders_of_sample_photos_and_outputs_are_allowed(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    settings, sources = demo_settings(None, out)
    assert len(sources) >= 4
    assert out.is_dir()
    assert settings.objects.destination == out.as_uri()
    assert out in settings.objects.file_roots
    assert any(sources[0].startswith(root.as_uri()) for root in settings.objects.file_roots)


def test_only_the_folders_of_the_given_photos_are_allowed(tmp_path: Path) -> None:
    for folder in ("one", "my two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(b"")
    settings, sources = demo_settings(str(tmp_path / "*" / "*.jpg"), tmp_path / "out")
    assert len(sources) == 2
    assert set(settings.objects.file_roots) == {tmp_path / "one", tmp_path / "my two", tmp_path / "out"}


def test_a_folder_whose_name_is_not_utf_8_is_allowed_by_its_name(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    settings, _ = demo_settings(str(folder), tmp_path / "out")
    assert folder in settings.objects.file_roots


def test_the_profile_is_served_besides_those_of_the_settings(tmp_path: Path) -> None:
    for profile, served in ((None, ("fast",)), ("fast", ("fast",)), ("auto", ("fast",)), ("hair", ("fast", "hair"))):
        settings, _ = demo_settings(None, tmp_path, profile)
        assert settings.models.profiles == served


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="names no photos"):
        demo_settings(str(tmp_path), tmp_path / "out")


def test_an_output_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidOption, match=r"--out .* cannot be made a folder"):
        demo_settings(None, tmp_path / "file" / "out")


def test_the_closing_table_lists_failures_with_their_reasons() -> None:
    error = ErrorDetail(code="file_too_large", message="31 MB [see /limits]", stage="fetch", retryable=False)
    source = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)
    batch = Batch({"a": Request(image="file:///a.jpg", id="a")}, duration_s=1.0)
    warning = WarningDetail(code="first_of_several", message="2 pages")
    batch.results["a"] = Result(id="a", status="failed", source=source, error=error, warnings=(warning,))
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(summary_table(batch, Path("summary.json"), None))
    assert "a: file_too_large: 31 MB [see /limits]" in captured.get()
    assert "a: first_of_several: 2 pages" in captured.get()
    assert "none: no photo succeeded" in captured.get()
