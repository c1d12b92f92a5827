from __future__ import annotations

from pathlib import Path

import pytest

from cutstream.errors import InvalidOption
from evaluation.output import check_targets, replace_folder, write_file


def test_a_file_replaces_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    for data in (b"first", b"second"):
        write_file(path, data)
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_replaces_an_earlier_one_completely(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("worst", "scatter.png"):
        with replace_folder(target) as folder:
            (folder / name).write_text("")
            assert not (target / name).exists()
        assert [path.name for path in target.iterdir()] == [name]
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_earlier_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "scatter.png").write_text("old")

    def fail() -> None:
        with replace_folder(target) as folder:
            (folder / "scatter.png").write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (target / "scatter.png").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    check_targets(tmp_path / "report.json", tmp_path / "new")
    with pytest.raises(InvalidOption, match=r"holds thesis\.doc, which no evaluation made"):
        check_targets(None, tmp_path)
    with pytest.raises(InvalidOption, match="is a file: name a folder"):
        check_targets(None, tmp_path / "thesis.doc")
    with pytest.raises(InvalidOption, match="is a folder: name a file"):
        check_targets(tmp_path, None)


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match=r"file/report\.json cannot be written"):
        write_file(tmp_path / "file" / "report.json", b"")
    with pytest.raises(InvalidOption, match=r"file/out cannot be written"), replace_folder(tmp_path / "file" / "out"):
        pass
