"""`cutstream tune` from the command line, with a stand-in for the stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from commands import console, evaluation
from commands.app import app
from cutstream.settings import Settings
from evaluation.folder import Photo
from evaluation.tuning import run as tuning
from evaluation.tuning.photos import Sample
from tests.support.evaluation import evaluation_folder, mask_of

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("CUTSTREAM_")]:
        monkeypatch.delenv(name)
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "width", 150)
    return lambda *arguments: CliRunner().invoke(app, ["tune", *map(str, arguments)])


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Record each request for mattes: the profile and the names of the photos."""
    calls: list[tuple[str, list[str]]] = []

    @contextmanager
    def serve(settings: Settings, photos: Sequence[Photo], profile: str, mattes: Path) -> Iterator[tuple[Any, Any]]:
        yield settings, lambda: None

    def answer(photos: Sequence[Photo], profile: str, *_: Any) -> list[Sample]:
        calls.append((profile, [photo.stem for photo in photos]))
        return [Sample(photo, mask_of(photo.stem)) for photo in photos]

    monkeypatch.setattr(evaluation, "serving_stack", serve)
    monkeypatch.setattr(tuning, "infer_mattes", answer)
    return calls


def test_each_photo_is_requested_once(run: Run, requested: list, tmp_path: Path) -> None:
    save = tmp_path / "own" / "discs.toml"
    done = run(evaluation_folder(tmp_path / "set"), "--budget", 12, "--save", save)
    assert done.exit_code == 0, done.output
    assert requested == [("fast", ["cats_1", "cats_2", "dogs_1"])]
    assert save.is_file()
    assert all(word in done.stdout for word in ("soft", "alpha_matting", "coverage", "ranked by"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "auto"), "name the --profile"),
        (("--save", "base.toml"), "built-in"),
        (("--budget", 1), "at least"),
    ],
)
def test_invalid_options_are_refused_before_any_request(
    run: Run, requested: list, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    done = run(evaluation_folder(tmp_path / "set"), *arguments)
    assert (done.exit_code, requested) == (2, [])
    assert message in done.stderr


def test_the_option_matting_compares_the_methods(
    run: Run, requested: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Path, Path | None]] = []
    stand_in = SimpleNamespace(compare_methods=lambda folder, out, console: compared.append((folder, out)))
    monkeypatch.setitem(sys.modules, "evaluation.tuning.matting_methods", stand_in)
    assert run(tmp_path, "--matting", "--out", tmp_path / "out").exit_code == 0
    assert (compared, requested) == ([(tmp_path, tmp_path / "out")], [])
