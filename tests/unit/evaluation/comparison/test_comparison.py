from __future__ import annotations

from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from cutstream.contract.messages import ServedModel
from cutstream.errors import InvalidOption
from evaluation.comparison import run
from evaluation.comparison.causes import likely_cause
from evaluation.comparison.rounds import Comparison, build_networks_table, build_row, build_table, draw_rounds
from evaluation.scoring.measure import Prediction
from evaluation.scoring.predict import ServedMattes
from tests.support.evaluation import DISCS, evaluation_folder, matte_folder
from tests.support.models import disc_of

SILENT = Console(quiet=True)
TRUTH = disc_of((50, 50), 20, 100).astype(np.uint8) * 255


def moved(right: int, radius: int = 20) -> np.ndarray:
    return disc_of((50 + right, 50), radius, 100).astype(np.uint8) * 255


def test_the_same_seed_gives_the_same_draws() -> None:
    items = [f"{number:03}" for number in range(100)]
    rounds = draw_rounds(items, 20, 5, seed=3)
    assert [len(set(chosen)) for chosen in rounds] == [20] * 5
    assert len({tuple(chosen) for chosen in rounds}) == 5
    assert rounds == draw_rounds(items, 20, 5, seed=3) != draw_rounds(items, 20, 5, seed=4)
    assert [sorted(chosen) for chosen in draw_rounds(items, 500, 2, seed=0)] == [items, items]


@pytest.mark.parametrize(
    ("profile", "matte", "cause"),
    [
        ("fast", np.zeros_like(TRUTH), "no subject was found"),
        ("fast", moved(40), "something else was cut out"),
        ("depth", moved(40), "subject and background are at the same depth"),
        ("fast", moved(0, 48), "background was included"),
        ("depth", moved(0, 48), "the ground or a thing beside the subject is as near"),
        ("fast", moved(0, 10), "parts are missing"),
        ("depth_fused", moved(0, 10), "the subject extends into the distance, or its class is unknown"),
        ("fast", moved(5), "the outline is coarse"),
    ],
)
def test_the_likely_cause_follows_from_how_the_matte_misses(profile: str, matte: np.ndarray, cause: str) -> None:
    assert likely_cause(profile, matte, TRUTH) == cause


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Comparison, Path]:
    """Compare two profiles whose mattes are the true discs, moved by 0 and 12 px."""
    folder = evaluation_folder(tmp_path / "set")
    mattes = {profile: matte_folder(tmp_path / profile, px) for profile, px in (("fast", 0), ("depth", 12))}

    def cut_out(examples, settings, profile, folder, check_stack, console):
        predictions = [
            Prediction(example, mattes[profile] / f"{example.stem}.png", 10.0 * len(profile)) for example in examples
        ]
        model = ServedModel(name="e", version="1", digest="d", networks=(f"net of {profile}",))
        return ServedMattes(predictions, model, profile)

    @contextmanager
    def serve(found, profile):
        yield None, lambda: None

    monkeypatch.setattr(run, "cut_out_photos", cut_out)
    (place := tmp_path / "mattes").mkdir()
    options = {
        "sample_size": 2,
        "rounds": 3,
        "seed": 0,
        "json_file": tmp_path / "c.json",
        "out_folder": tmp_path / "out",
    }
    options["left_out"] = {"everything": "its weights are missing in [this] folder: `a command` gets them"}
    planned = run.plan_comparison(folder, None, ["fast", "depth"], tmp_path, **options, console=SILENT)
    return run.compare_profiles(planned, serve, place, SILENT), tmp_path


def test_each_photo_is_cut_out_once_and_each_round_is_a_draw(compared: tuple[Comparison, Path]) -> None:
    comparison, _ = compared
    assert [len(chosen) for chosen in comparison.draws] == [2, 2, 2]
    fast, depth = comparison.profiles
    assert set(fast.photos) == {stem for chosen in comparison.draws for stem in chosen} <= set(DISCS)
    assert fast.figures["iou"].mean > 0.99 > 0.8 > depth.figures["iou"].mean > 0.3
    assert (fast.figures["time_ms"].mean, depth.figures["time_ms"].mean) == (40.0, 50.0)
    per_round = [np.mean([depth.photos[stem].iou for stem in chosen]) for chosen in comparison.draws]
    assert [means["iou"] for means in depth.rounds] == pytest.approx(per_round)
    assert depth.figures["iou"].spread == pytest.approx(np.std(per_round))


def test_a_comparison_writes_a_table_a_report_a_chart_and_the_worst_cases(compared: tuple[Comparison, Path]) -> None:
    comparison, folder = compared
    lines = render(build_table(comparison), build_networks_table(comparison))
    assert any(line.split()[:1] == ["depth"] and line.endswith("net of depth") for line in lines)
    assert msgspec.json.decode((folder / "c.json").read_bytes(), type=Comparison) == comparison
    with Image.open(folder / "out" / "scatter.png") as chart:
        assert np.asarray(chart).std() > 0
    names = sorted(path.name for path in (folder / "out" / "worst").iterdir())
    assert len(names) == len(comparison.profiles[0].photos) * 2
    assert names[0].startswith("depth-01-")


def test_a_terminal_of_80_columns_wraps_no_figure_and_no_network(compared: tuple[Comparison, Path]) -> None:
    comparison, _ = compared
    model = ServedModel(name="e", version="1", digest="d", networks=("tcmonodepth", "deeplabv3plus_mobilenetv2"))
    rows = [msgspec.structs.replace(row, profile="depth_fused", model=model) for row in comparison.profiles]
    renamed = msgspec.structs.replace(comparison, profiles=rows)
    lines = render(build_table(renamed), build_networks_table(renamed))
    figures = [line for line in lines if line.count("±") == 4]
    assert [line.split()[0] for line in figures] == ["depth_fused"] * 2
    assert sum(line.endswith("tcmonodepth, deeplabv3plus_mobilenetv2") for line in lines) == 2


def test_left_out_profiles_are_listed_with_their_reasons(compared: tuple[Comparison, Path]) -> None:
    comparison, folder = compared
    text = " ".join(" ".join(render(build_networks_table(comparison))).split())
    assert "everything left out: its weights are missing in [this] folder: `a command` gets them" in text
    assert msgspec.json.decode((folder / "c.json").read_bytes())["left_out"] == comparison.left_out != {}


def render(*tables: Table) -> list[str]:
    console = Console(width=80, record=True, file=StringIO())
    console.print(*tables)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_outputs_are_checked_first(tmp_path: Path) -> None:
    options = {"left_out": {}, "sample_size": 2, "rounds": 1, "seed": 0, "json_file": tmp_path, "out_folder": None}
    with pytest.raises(InvalidOption, match="is a folder"):
        run.plan_comparison(tmp_path / "absent", None, ["fast"], tmp_path, **options, console=SILENT)


def test_a_profile_without_times_has_none_in_its_row() -> None:
    from cutstream.quality.scores import score

    pixels = np.repeat(TRUTH[..., None], 3, axis=2)
    row = build_row("given", None, {"a": score(pixels, TRUTH, TRUTH)}, [["a"]])
    assert "time_ms" not in row.figures
    assert row.figures["iou"].mean == 1.0
