"""An evaluation from its folder to what it leaves, with progress to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cutstream.contract.messages import ServedModel
from cutstream.quality.scores import Scores
from cutstream.settings import Settings
from evaluation.scoring import output
from evaluation.scoring.attributes import Attributes, read_attributes
from evaluation.scoring.folder import Example, examples, given_mattes
from evaluation.scoring.measure import Prediction, check_all, measure_all
from evaluation.scoring.pictures import case, points_of, scatter, worst
from evaluation.scoring.predict import predict
from evaluation.scoring.report import Report, as_json, legend, report, tables

WORST_CASES = 12

Item = TypeVar("Item")


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated; `plan` has checked it, so that nothing is found wrong after minutes of inference."""

    folder: Path
    examples: Sequence[Example]
    attributes: Attributes
    json_file: Path | None
    out_folder: Path | None


def plan(
    folder: Path, attributes: Path | None, json_file: Path | None, out_folder: Path | None, console: Console
) -> Evaluation:
    """Raises InvalidExamples or InvalidOption for whatever of it cannot be used, before anything is written."""
    output.check_targets(json_file, out_folder)
    found = examples(folder)
    known = read_attributes(attributes, {example.stem for example in found}) if attributes else {}
    check_photos(found, console)
    return Evaluation(folder, found, known, json_file, out_folder)


def evaluate_given(evaluation: Evaluation, mattes: Path, console: Console) -> Report:
    """The mattes that a folder holds."""
    paths = given_mattes(mattes, evaluation.examples)
    predictions = [Prediction(example, paths[example.stem]) for example in evaluation.examples]
    scores = measured(predictions, console)
    found = report(scores, evaluation.attributes, folder=str(evaluation.folder), predictions=str(mattes))
    return _leave(evaluation, found, predictions, str(mattes), console)


def evaluate_served(
    evaluation: Evaluation,
    settings: Settings,
    profile: str | None,
    folder: Path,
    check: Callable[[], None],
    console: Console,
) -> Report:
    """The mattes that the stack of `settings` makes; `folder` is for those that lie elsewhere, until this is done."""
    predictions, model, served = cut_out(evaluation.examples, settings, profile, folder, check, console)
    scores = measured(predictions, console)
    found = report(scores, evaluation.attributes, folder=str(evaluation.folder), profile=served, model=model)
    return _leave(evaluation, found, predictions, f"profile {served}", console)


def check_photos(found: Sequence[Example], console: Console) -> None:
    """Raises InvalidExamples for the first that cannot be used."""
    for _ in _counted(check_all(found), "reading", len(found), console):
        pass


def cut_out(
    found: Sequence[Example],
    settings: Settings,
    profile: str | None,
    folder: Path,
    check: Callable[[], None],
    console: Console,
) -> tuple[list[Prediction], ServedModel | None, str | None]:
    """The mattes, and the model and profile behind them (`predict`)."""
    with _progress(console) as progress:
        task = progress.add_task("cutting out", total=len(found))

        def watch(done: int) -> None:
            check()
            progress.update(task, completed=done)

        return predict(settings, found, profile, folder, watch)


def measured(predictions: Sequence[Prediction], console: Console) -> dict[str, Scores]:
    """By stem."""
    scores = _counted(measure_all(predictions), "measuring", len(predictions), console)
    return dict(zip([prediction.example.stem for prediction in predictions], scores, strict=True))


def _leave(
    evaluation: Evaluation, found: Report, predictions: Sequence[Prediction], title: str, console: Console
) -> Report:
    if evaluation.out_folder is not None:
        _draw(evaluation.out_folder, found, predictions, title)
    if evaluation.json_file is not None:
        output.write_file(evaluation.json_file, as_json(found))
    for table in tables(found):
        console.print(table)
    console.print(legend(), markup=False, highlight=False)
    for name, path in (("report", evaluation.json_file), ("pictures", evaluation.out_folder)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
    return found


def _draw(target: Path, found: Report, predictions: Sequence[Prediction], title: str) -> None:
    by_stem = {prediction.example.stem: prediction for prediction in predictions}
    with output.whole_folder(target) as folder:
        chart = scatter(
            points_of(found.photos), f"{title}: mean IoU {found.overall.iou:.3f} over {found.overall.count} photos"
        )
        if chart is not None:
            chart.save(folder / output.SCATTER)
        (folder / output.WORST).mkdir()
        for place, stem in enumerate(worst(found.photos, WORST_CASES), 1):
            name = f"{place:02}-{stem}.jpg"
            case(by_stem[stem], found.photos[stem]).save(folder / output.WORST / name, quality=90)


def _counted(items: Iterable[Item], name: str, total: int, console: Console) -> Iterator[Item]:
    with _progress(console) as progress:
        yield from progress.track(items, total=total, description=name)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description:>11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield progress
