from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cutstream.arrays.cpu import CpuOps
from cutstream.errors import InvalidOption
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN
from evaluation.folder import InvalidExamples
from evaluation.tuning.matting_methods import (
    BASELINES,
    METHODS,
    MethodRow,
    build_bands,
    build_table,
    compare_methods,
    find_alpha_examples,
)
from evaluation.tuning.matting_sheets import GAP_PX, HEAD_PX, PANEL_PX, softest_square
from tests.support.fur import coarse, fur

OPS = CpuOps()
SILENT = Console(quiet=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two photos, the first with a drawn trimap, and an image that belongs to neither."""
    for seed, name in enumerate(("cat.png", "dog.jpg")):
        photo, alpha = fur(150, 200, seed)
        Image.fromarray(photo.pixels).save(tmp_path / name, quality=95)
        Image.fromarray(alpha).save(tmp_path / f"{Path(name).stem}_alpha.png")
    drawn = np.full((150, 200), 100, np.uint8)
    drawn[55:95, 80:120], drawn[:15], drawn[-15:] = SUBJECT, BACKGROUND, BACKGROUND
    Image.fromarray(drawn).save(tmp_path / "cat_trimap.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat_foreground.png")
    return tmp_path


def test_only_photos_with_an_alpha_are_examples(folder: Path) -> None:
    cat, dog = find_alpha_examples(folder)
    assert (cat.photo.name, cat.alpha.name) == ("cat.png", "cat_alpha.png")
    assert cat.trimap is not None
    assert (dog.photo.name, dog.trimap) == ("dog.jpg", None)


def test_bands_cover_what_is_unknown() -> None:
    _, truth = fur(300, 400)
    small, large, automatic, drawn = build_bands(truth, np.full((300, 400), 77, np.uint8), OPS).values()
    soft = (truth > 9) & (truth < 241)
    assert (small[soft] == UNKNOWN).all()
    assert (large[soft] == UNKNOWN).all()
    assert (small == UNKNOWN).sum() < (large == UNKNOWN).sum()
    assert (automatic[soft] == UNKNOWN).any()
    thin = truth.copy()
    thin[:30, :30] = 100
    assert (build_bands(thin, None, OPS)["automatic, 10 px"][:20, :20] == BACKGROUND).all(), (
        "the band reveals soft alpha"
    )
    assert (drawn == UNKNOWN).all()


def test_every_method_in_every_band_is_measured_and_drawn(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymatting", reason="pymatting is missing: run `make setup`")
    text, out = StringIO(), tmp_path / "out"
    compare_methods(folder, out, Console(file=text, width=200))
    rows = msgspec.json.decode((out / "mattings.json").read_bytes(), type=list[MethodRow])
    cat, dog = ([row for row in rows if row.photo == stem] for stem in ("cat", "dog"))
    assert (len(cat), len(dog)) == (4 * len(BASELINES + METHODS), 3 * len(BASELINES + METHODS))
    for band in dict.fromkeys(row.band for row in dog):
        by_method = {row.method: row for row in dog if row.band == band}
        assert tuple(by_method) == BASELINES + METHODS
        assert by_method["closed_form"].sad < by_method["soft"].sad < by_method["trimap"].sad
        assert by_method["closed_form"].mse < by_method["soft"].mse < 1
        assert by_method["fast"].gradient < by_method["trimap"].gradient
    assert all(word in text.getvalue() for word in ("2 photos", "drawn", *BASELINES, *METHODS))
    with Image.open(out / "cat_mattings.png") as picture:
        assert picture.width == (2 + len(BASELINES + METHODS)) * (PANEL_PX + GAP_PX) + GAP_PX
        assert picture.height == 4 * (PANEL_PX + HEAD_PX + GAP_PX)
    assert (out / "dog_mattings.png").is_file()


def test_the_table_has_means_over_photos() -> None:
    rows = [
        MethodRow(photo=name, band="small", unknown=0.1, method="fast", sad=sad, gradient=1, mse=0.25, seconds=2)
        for name, sad in (("a", 3.0), ("b", 4.0))
    ]
    text = StringIO()
    Console(file=text, width=120).print(build_table(rows))
    assert "2 photos" in text.getvalue()
    (line,) = [line.split() for line in text.getvalue().splitlines() if "fast" in line]
    assert line == ["small", "10.0%", "fast", "3.50", "1.00", "0.25000", "2.000"]


def test_unusable_folders_are_errors(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidOption, match=r"_alpha\.png"):
        compare_methods(empty, None, SILENT)
    pytest.importorskip("pymatting", reason="pymatting is missing: run `make setup`")
    Image.new("L", (20, 20)).save(folder / "cat_alpha.png")
    with pytest.raises(InvalidExamples, match="same size"):
        compare_methods(folder, None, SILENT)


@pytest.mark.parametrize("corner", [(0, 0), (0, 180), (130, 0), (130, 180)])
def test_the_sheet_shows_where_alpha_is_softest(corner: tuple[int, int]) -> None:
    row, column = corner
    alpha = np.zeros((150, 200), np.uint8)
    alpha[row : row + 20, column : column + 20] = 99
    rows, columns = softest_square(alpha, OPS)
    assert (alpha[rows, columns] == 99).sum() == 400
    assert alpha[rows, columns].shape == (45, 45)


def test_hair_is_lost_in_a_coarse_matte() -> None:
    """The photos of these tests have hair that a network's matte would lack."""
    _, truth = fur(300, 400)
    assert (truth > 128).sum() > (coarse(truth, 6) > 128).sum() + 500
