"""`cutstream tune` as a person meets it, with a stack that is not there."""

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
from evaluation.scoring.folder import Photo
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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What the stack is asked: a profile and names of photos."""
    calls: list[tuple[str, list[str]]] = []

    @contextmanager
    def serving(settings: Settings, photos: Sequence[Photo], profile: str, mattes: Path) -> Iterator[tuple[Any, Any]]:
        yield settings, lambda: None

    def answer(photos: Sequence[Photo], profile: str, *_: Any) -> list[Sample]:
        calls.append((profile, [photo.stem for photo in photos]))
        return [Sample(photo, mask_of(photo.stem)) for photo in photos]

    monkeypatch.setattr(evaluation, "serving", serving)
    monkeypatch.setattr(tuning, "ask", answer)
    return calls


def test_the_stack_is_asked_once_for_each_photo(run: Run, asked: list, tmp_path: Path) -> None:
    save = tmp_path / "own" / "discs.toml"
    done = run(evaluation_folder(tmp_path / "set"), "--budget", 12, "--save", save)
    assert done.exit_code == 0, done.output
    assert asked == [("fast", ["cats_1", "cats_2", "dogs_1"])]
    assert save.is_file()
    assert all(word in done.stdout for word in ("soft", "alpha_matting", "coverage", "ranked by"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--profile", "auto"), "name the --profile"),
        (("--save", "base.toml"), "built-in"),
        (("--budget", 1), "at least"),
    ],
)
def test_nothing_is_asked_for_what_cannot_be(
    run: Run, asked: list, tmp_path: Path, arguments: tuple[object, ...], said: str
) -> None:
    done = run(evaluation_folder(tmp_path / "set"), *arguments)
    assert (done.exit_code, asked) == (1, [])
    assert said in done.stderr


def test_matting_methods_are_compared_on_request(
    run: Run, asked: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Path, Path | None]] = []
    stand_in = SimpleNamespace(compare_mattings=lambda folder, out, console: compared.append((folder, out)))
    monkeypatch.setitem(sys.modules, "evaluation.tuning.mattings", stand_in)
    assert run(tmp_path, "--matting", "--out", tmp_path / "out").exit_code == 0
    assert (compared, asked) == ([(tmp_path, tmp_path / "out")], [])
