"""`cutstream evaluate --predictions` from the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from commands import console
from commands.app import app
from tests.support.evaluation import DISCS, evaluation_folder, matte_folder

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("CUTSTREAM_")]:
        monkeypatch.delenv(name)
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "width", 100)
    return lambda *arguments: CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evaluation_folder(tmp_path / "set")


@pytest.fixture
def mattes(tmp_path: Path) -> Path:
    return matte_folder(tmp_path / "mattes", moved=1)


def test_a_folder_of_mattes_is_measured(run: Run, folder: Path, mattes: Path, tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("photo,light\ncats_1,soft\ndogs_1,hard\n")
    report, pictures = tmp_path / "report.json", tmp_path / "pictures"
    done = run(
        folder, "--predictions", mattes, "--attributes", tmp_path / "known.csv", "--json", report, "--out", pictures
    )
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text())
    assert found["photos"].keys() == DISCS.keys()
    assert 0.9 < found["overall"]["iou"] < 1
    assert found["overall"]["hausdorff"] == pytest.approx(1000 / 96)  # one pixel of 96
    assert {name: group["count"] for name, group in found["subsets"].items()} == {"cats": 2, "dogs": 1}
    assert found["attributes"]["light"]["soft"]["count"] == 1
    assert (found["profile"], found["predictions"], found["overall"]["time_ms"]) == (None, str(mattes), None)
    assert all(word in done.stdout for word in ("cats", "dogs", "all", "light", "soft", "hard"))
    cases = sorted(path.name for path in (pictures / "worst").iterdir())
    smallest = "cats_1"  # the smallest disc loses most by one pixel
    assert (len(cases), cases[0]) == (3, f"01-{smallest}.jpg")
    with Image.open(pictures / "worst" / cases[0]) as picture:
        assert picture.width > 4 * 96
    assert not (pictures / "scatter.png").exists()  # these mattes have no times


def test_a_second_evaluation_replaces_the_outputs(run: Run, folder: Path, mattes: Path, tmp_path: Path) -> None:
    arguments = (folder, "--predictions", mattes, "--json", tmp_path / "r.json", "--out", tmp_path / "p")
    assert [run(*arguments).exit_code for _ in range(2)] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mattes", "p", "r.json", "set"]


def drop_masks(folder: Path, mattes: Path) -> None:
    (folder / "masks").rename(folder / "truth")


def drop_a_matte(folder: Path, mattes: Path) -> None:
    (mattes / "cats_2.png").unlink()


def shrink_a_matte(folder: Path, mattes: Path) -> None:
    Image.new("L", (9, 9)).save(mattes / "dogs_1.png")


def shrink_a_mask(folder: Path, mattes: Path) -> None:
    Image.new("L", (9, 9)).save(folder / "masks" / "dogs_1.png")


def spoil_a_photo(folder: Path, mattes: Path) -> None:
    (folder / "images" / "dogs_1.jpg").write_bytes(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_masks, "has no folder masks/"),
        (drop_a_matte, "has no matte for cats_2"),
        (shrink_a_matte, "mattes/dogs_1.png is 9×9, its photo"),
        (shrink_a_mask, "masks/dogs_1.png is 9×9, its photo"),
        (spoil_a_photo, "dogs_1.jpg cannot be read"),
    ],
)
def test_bad_input_is_an_error_and_nothing_is_written(run: Run, folder, mattes, tmp_path, spoil, message: str) -> None:
    spoil(folder, mattes)
    before = sorted(tmp_path.iterdir())
    done = run(folder, "--predictions", mattes, "--json", tmp_path / "r.json", "--out", tmp_path / "p")
    assert done.exit_code == 1
    assert done.stderr.startswith("invalid_examples: ")
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert sorted(tmp_path.iterdir()) == before


def test_predictions_and_profile_exclude_each_other(run: Run, folder: Path, mattes: Path) -> None:
    done = run(folder, "--predictions", mattes, "--profile", "general")
    assert (done.exit_code, "exclude each other" in done.stderr) == (2, True)


def test_a_folder_with_other_files_is_not_replaced(run: Run, folder: Path, mattes: Path, tmp_path: Path) -> None:
    done = run(folder, "--predictions", mattes, "--out", tmp_path)
    assert done.exit_code == 2
    assert "which no evaluation made" in done.stderr
    assert mattes.is_dir()


def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    run: Run, folder: Path, mattes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "find_spec", lambda name: None if name == "pywt" else True)
    done = run(folder, "--predictions", mattes)
    assert done.exit_code == 1
    assert "needs pywt: run `make setup` in the checkout" in done.stderr
