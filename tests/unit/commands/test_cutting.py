"""What `cutstream cut` refuses before it starts anything: mistakes must not cost the start of a stack."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from commands import cutting
from commands.app import app


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Make a folder of photos the current one, and record the stacks that are asked for."""
    asked: list[object] = []

    class Begun(Exception):
        pass

    def begin(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise Begun

    monkeypatch.setattr(cutting, "cutting_stack", begin)
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "same.png", "photos/c.jpg", "white/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"photo")
    (tmp_path / "empty").mkdir()
    os.link(tmp_path / "same.png", tmp_path / "other name.png")
    return asked


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nothere.jpg out.png", "'nothere.jpg' names no photos"),
        ("a.jpg nothere.jpg out/", "'nothere.jpg' names no photos"),
        ("nothere/ out/", "'nothere/' names no photos"),
        ("no*.jpg out/", "'no*.jpg' names no photos"),
        ("empty/ out/", "'empty/' names no photos"),
        ("file:///nothere.jpg out.png", "/nothere.jpg is not there"),
        ("ftp://host/a.jpg out.png", "ftp"),
        ("http://user:secret@host/a.jpg out.png", "must not contain a user name or password"),
        ("a.jpg", "name the photos and then"),
        ("a.jpg out.png --format gif", "`format`"),
        ("photos/ out/ --format gif", "`format`"),
        ("a.jpg out.gif", "does not end in .png"),
        ("a.jpg out", "does not end in .png"),
        ("a.jpg out.png --format webp", "ends in .png"),
        ("a.jpg out.png --outputs foo", "`outputs"),
        ("photos/ out/ --outputs foo", "`outputs"),
        ("a.jpg out.png --outputs cutout,mask", "do not fit into one file"),
        ("a.jpg out.png --background notacolor", "notacolor"),
        ("photos/ out/ --background notacolor", "notacolor"),
        ("a.jpg out.png --crop-margin 5%", "crop_margin"),
        ("photos/ out/ --crop-margin 5%", "crop_margin"),
        ("a.jpg out.png --crop --crop-margin lots", "crop_margin"),
        ("a.jpg out.jpg", "transparency"),
        ("photos/ out/ --format jpeg", "transparency"),
        ('a.jpg out.png --request {"shado":1}', "shado"),
        ("a.jpg out.png --request nothere.json", "nothere.json"),
        ("same.png same.png --overwrite", "is the photo itself"),
        ("same.png ./same.png --overwrite", "is the photo itself"),
        ("same.png photos/../same.png --overwrite", "is the photo itself"),
        ("same.png other.name.png --overwrite", "is the photo itself"),
        ("a.jpg b.jpg", "is there already"),
        ("a.jpg same.png", "is there already"),
        ("a.jpg b.jpg x.png", "need a folder"),
        ("photos/ x.PNG", "need a folder"),
        ("a.jpg b.jpg x.tiff", "need a folder"),
        ("*.jpg x.jpg", "need a folder"),
        ("photos/ a.jpg", "need a folder"),
        ("photos/ photos/", "holds the photos themselves"),
        ("white/d.png white/ --overwrite", "replaced by its cutout"),
        ("white/*.png white/ --overwrite", "replaced by its cutout"),
        ("a.jpg same.png ./ --overwrite", "replaced by its cutout"),
        ("a.jpg a.jpg/out.png", "cannot be written"),
        ("photos/ a.jpg/out/", "cannot be written"),
        ("a.jpg -  --outputs cutout,mask", "do not fit into one file"),
        ("photos/ -", "- is for one photo"),
        ("a.jpg - out/", "- is for one photo"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(begun, line: str, told: str) -> None:
    ended = CliRunner().invoke(app, ["cut", *(part.replace("other.name", "other name") for part in line.split())])
    assert told in ended.output
    assert ended.exit_code in (1, 2)
    assert begun == []


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg out.png",
        "a.jpg new/folder/out.webp",
        "a.jpg same.png --overwrite",
        "a.jpg out.JPG --background white",
        "a.jpg out --format png",
        "a.jpg -",
        "- out.png",
        "https://example.org/a.jpg out.png",
        "a.jpg b.jpg out",
        "a.jpg ./",
        "a.jpg ./ --overwrite",
        "photos/ white/ --overwrite",
        "photos/ empty/ out/",
        "photos/* out/",
    ],
)
def test_what_can_be_done_is_begun(begun, line: str) -> None:
    CliRunner().invoke(app, ["cut", *line.split()], input=b"photo")
    assert len(begun) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told_before_anything_starts(begun, tmp_path: Path) -> None:
    (tmp_path / "empty").chmod(0o500)
    assert "Permission denied" in CliRunner().invoke(app, ["cut", "a.jpg", "empty/new/out.png"]).output
    assert begun == []
    shutil.rmtree(tmp_path / "empty")


def test_a_read_only_disk_is_called_one(begun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert "Read-only file system" in CliRunner().invoke(app, ["cut", "a.jpg", "new/out.png"]).output
    assert begun == []
