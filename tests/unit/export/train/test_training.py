from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from cutstream.errors import ConfigurationError  # noqa: E402
from export.train import training  # noqa: E402
from export.train.cutnet import Cutnet  # noqa: E402
from export.train.photos import Collection, collect  # noqa: E402
from export.train.recipe import SHIPPED, Phase, Source, TrainingRecipe, read_recipe  # noqa: E402
from export.train.training import State, begin, held_out_iou, train  # noqa: E402
from tests.support.training import photo_folder  # noqa: E402

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]  # torch and matplotlib warn


def recipe(**changes: object) -> TrainingRecipe:
    given = {
        "seed": 1,
        "learning_rate": 2e-3,
        "encoder_rate": 1e-3,
        "weight_decay": 0.01,
        "warm_up": 8,
        "average": 0.5,
        "composites": 0.0,
        "panoramas": 0.0,
        "sources": [Source(name="discs", folder="discs", share=1.0, closer=0.0)],
        "phases": [Phase(size=64, samples=16, batch=4), Phase(size=96, samples=8, batch=4)],
    }
    return TrainingRecipe(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> list[Collection]:
    folder = tmp_path_factory.mktemp("photos")
    photo_folder(folder / "discs", [f"disc_{number:02}" for number in range(40)])
    return collect(folder, recipe().sources)


def started(of: TrainingRecipe) -> State:
    torch.manual_seed(1)
    return begin(Cutnet(), of, "cpu")


def weights(state: State) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in state.average.module.parameters()]).numpy()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 4)
    monkeypatch.setattr(training, "SAVE_EVERY", 8)


def test_learns_what_a_subject_is(discs: list[Collection], tmp_path: Path) -> None:
    of = recipe(phases=[Phase(size=64, samples=480, batch=8)], average=0.9)
    state = started(of)
    for module in (*state.network.modules(), *state.average.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3  # sixty batches are too few for running means
    train(state, of, discs, tmp_path, workers=0)
    assert held_out_iou(state.average, discs, 64)["discs"] > 0.8
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged[-2]["loss"] < logged[0]["loss"] / 2
    assert (tmp_path / "curves.png").stat().st_size > 10_000


class Interrupted(Exception):
    pass


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    discs: list[Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = recipe()
    whole = started(of)
    train(whole, of, discs, tmp_path / "whole", workers=0)

    real, steps = training._learn, []

    def failing(*arguments: object) -> float:
        if len(steps) == 3:
            raise Interrupted
        steps.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_learn", failing)
    broken = started(of)
    with pytest.raises(Interrupted):
        train(broken, of, discs, tmp_path / "broken", workers=0)
    monkeypatch.setattr(training, "_learn", real)
    resumed = started(of)
    resumed.resume(tmp_path / "broken" / "checkpoint.pt", of)
    assert resumed.samples == 12
    train(resumed, of, discs, tmp_path / "broken", workers=0)
    assert resumed.samples == whole.samples == of.samples
    np.testing.assert_allclose(weights(resumed), weights(whole), atol=1e-5)
    finished = weights(resumed)
    train(resumed, of, discs, tmp_path / "broken", workers=0)  # nothing is left to do
    assert np.array_equal(weights(resumed), finished)


def test_another_recipes_checkpoint_is_refused(tmp_path: Path) -> None:
    started(recipe()).save(tmp_path / "checkpoint.pt", recipe())
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt: belongs to another recipe"):
        started(recipe()).resume(tmp_path / "checkpoint.pt", recipe(seed=2))


def test_the_shipped_recipe_trains_only_on_what_may_be_trained_on() -> None:
    shipped = read_recipe(SHIPPED)
    assert {source.folder for source in shipped.sources} <= {"garments_train", "things_train", "train_masked"}
    assert all(phase.size % 32 == 0 and phase.samples % phase.batch == 0 for phase in shipped.phases)


def test_a_wrong_recipe_names_its_field(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 'one'")
    with pytest.raises(ConfigurationError, match=r"mine\.toml: .*seed"):
        read_recipe(file)


def test_the_command_says_what_is_wrong_without_a_stack_trace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "export.train", tmp_path, tmp_path / "out"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "has no folder `images`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
