"""Run an evaluation, from its folder of photos to its report, tables and images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from cutstream.quality.scores import Scores
from cutstream.settings import Settings
from evaluation import output
from evaluation.folder import Example, find_examples, find_mattes
from evaluation.progress import progress_bar
from evaluation.scoring.attributes import Attributes, read_attributes
from evaluation.scoring.drawing import draw_case, draw_scatter, scatter_points, worst_stems
from evaluation.scoring.measure import Prediction, check_examples, score_all
from evaluation.scoring.predict import ServedMattes, request_mattes
from evaluation.scoring.report import Report, build_report, build_tables, describe_parts, legend, to_json

WORST_CASES = 12

Item = TypeVar("Item")


@dataclass(frozen=True)
class EvaluationPlan:
    """Checked inputs and outputs of an evaluation, so that no mistake shows only after minutes of inference."""

    folder: Path
    examples: Sequence[Example]
    attributes: Attributes
    json_file: Path | None
    out_folder: Path | None


def plan_evaluation(
    folder: Path, attributes: Path | None, json_file: Path | None, out_folder: Path | None, console: Console
) -> EvaluationPlan:
    """Check everything that an evaluation uses, and write nothing.

    Raises InvalidExamples or InvalidOption for what cannot be used.
    """
    output.check_targets(json_file, out_folder)
    examples = find_examples(folder)
    columns = read_attributes(attributes, {example.stem for example in examples}) if attributes else {}
    check_photos(examples, console)
    return EvaluationPlan(folder, examples, columns, json_file, out_folder)


def evaluate_mattes(plan: EvaluationPlan, mattes: Path, console: Console) -> Report:
    """Score the mattes in a folder."""
    paths = find_mattes(mattes, plan.examples)
    predictions = [Prediction(example, paths[example.stem]) for example in plan.examples]
    scores = score_predictions(predictions, console)
    report = build_report(scores, plan.attributes, folder=str(plan.folder), predictions=str(mattes))
    _write_outputs(plan, report, predictions, str(mattes), console)
    return report


def evaluate_profile(
    plan: EvaluationPlan,
    settings: Settings,
    profile: str | None,
    folder: Path,
    check_stack: Callable[[], None],
    console: Console,
) -> Report:
    """Score the mattes that the stack of `settings` makes.

    `folder` holds copies of mattes that are not on this machine, until the evaluation is done.
    """
    served = cut_out_photos(plan.examples, settings, profile, folder, check_stack, console)
    scores = score_predictions(served.predictions, console)
    report = build_report(scores, plan.attributes, folder=str(plan.folder), profile=served.profile, model=served.model)
    _write_outputs(plan, report, served.predictions, f"profile {served.profile}", console)
    return report


def check_photos(examples: Sequence[Example], console: Console) -> None:
    """Read all photos and masks. Raises InvalidExamples for the first that cannot be used."""
    for _ in _with_progress(check_examples(examples), "reading", len(examples), console):
        pass


def cut_out_photos(
    examples: Sequence[Example],
    settings: Settings,
    profile: str | None,
    folder: Path,
    check_stack: Callable[[], None],
    console: Console,
) -> ServedMattes:
    """Have the stack cut out the photos, with a progress bar (`request_mattes`)."""
    with progress_bar(console) as progress:
        task = progress.add_task("cutting out", total=len(examples))

        def show(done: int) -> None:
            check_stack()
            progress.update(task, completed=done)

        return request_mattes(settings, examples, profile, folder, show)


def score_predictions(predictions: Sequence[Prediction], console: Console) -> dict[str, Scores]:
    """Return the scores by stem."""
    scores = _with_progress(score_all(predictions), "measuring", len(predictions), console)
    return dict(zip([prediction.example.stem for prediction in predictions], scores, strict=True))


def _write_outputs(
    plan: EvaluationPlan, report: Report, predictions: Sequence[Prediction], title: str, console: Console
) -> None:
    if plan.out_folder is not None:
        _draw_images(plan.out_folder, report, predictions, title)
    if plan.json_file is not None:
        output.write_file(plan.json_file, to_json(report))
    for table in build_tables(report):
        console.print(table)
    console.print(describe_parts(report), markup=False, highlight=False)
    console.print(legend(), markup=False, highlight=False)
    for name, path in (("report", plan.json_file), ("images", plan.out_folder)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _draw_images(target: Path, report: Report, predictions: Sequence[Prediction], title: str) -> None:
    by_stem = {prediction.example.stem: prediction for prediction in predictions}
    with output.replace_folder(target) as folder:
        chart = draw_scatter(
            scatter_points(report.photos),
            f"{title}: mean IoU {report.overall.iou:.3f} over {report.overall.count} photos",
        )
        if chart is not None:
            chart.save(folder / output.SCATTER)
        (folder / output.WORST).mkdir()
        for rank, stem in enumerate(worst_stems(report.photos, WORST_CASES), 1):
            sheet = draw_case(by_stem[stem], report.photos[stem])
            sheet.save(folder / output.WORST / f"{rank:02}-{stem}.jpg", quality=90)


def _with_progress(items: Iterable[Item], description: str, total: int, console: Console) -> Iterator[Item]:
    with progress_bar(console) as progress:
        yield from progress.track(items, total=total, description=description)
