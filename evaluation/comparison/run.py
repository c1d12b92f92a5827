"""Run a comparison of profiles, from its photos to its report, tables and images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from cutstream.settings import Settings
from evaluation import output
from evaluation.comparison.causes import likely_cause
from evaluation.comparison.coco import annotated_images, read_instances, write_examples
from evaluation.comparison.rounds import (
    Comparison,
    ProfileRow,
    build_networks_table,
    build_row,
    build_table,
    draw_rounds,
)
from evaluation.folder import Example, InvalidExamples, find_examples, read_example, read_matte
from evaluation.scoring.drawing import Point, draw_case, draw_scatter, worst_stems
from evaluation.scoring.measure import Prediction
from evaluation.scoring.run import check_photos, cut_out_photos, score_predictions

WORST_CASES = 6

# Opens a stack that serves the profile. Yields its settings, and a function that raises if the stack has died.
ServeProfile = Callable[[Sequence[Example], str], AbstractContextManager[tuple[Settings, Callable[[], None]]]]


@dataclass(frozen=True)
class ComparisonPlan:
    """Checked inputs and outputs of a comparison, so that no mistake shows only after minutes of inference."""

    folder: Path
    examples: Sequence[Example]
    draws: list[list[str]]
    seed: int
    profiles: Sequence[str]
    left_out: Mapping[str, str]
    json_file: Path | None
    out_folder: Path | None


def plan_comparison(
    folder: Path,
    instances: Path | None,
    profiles: Sequence[str],
    masks: Path,
    *,
    left_out: Mapping[str, str],
    sample_size: int,
    rounds: int,
    seed: int,
    json_file: Path | None,
    out_folder: Path | None,
    console: Console,
) -> ComparisonPlan:
    """Check everything that a comparison uses, and draw the photos of each round.

    With `instances` the folder is that of a COCO data set, whose masks are written into the folder `masks`. `left_out`
    has the reason for each profile that is not in `profiles`. Raises InvalidExamples or InvalidOption.
    """
    output.check_targets(json_file, out_folder)
    draws, examples = _draw_examples(folder, instances, masks, sample_size, rounds, seed)
    check_photos(examples, console)
    for profile, reason in left_out.items():
        console.print(f"{profile} is left out: {reason}", markup=False, highlight=False, soft_wrap=True)
    return ComparisonPlan(folder, examples, draws, seed, profiles, left_out, json_file, out_folder)


def compare_profiles(plan: ComparisonPlan, serve: ServeProfile, mattes: Path, console: Console) -> Comparison:
    """Cut out every photo once with each profile, and write the outputs. `mattes` is a folder for the mattes."""
    rows, predictions = [], {}
    for profile in plan.profiles:
        console.print(f"profile {profile}", highlight=False)
        (folder := mattes / profile).mkdir()
        with serve(plan.examples, profile) as (settings, check_stack):
            served = cut_out_photos(plan.examples, settings, profile, folder, check_stack, console)
        predictions[profile] = served.predictions
        rows.append(build_row(profile, served.model, score_predictions(served.predictions, console), plan.draws))
    comparison = Comparison(
        folder=str(plan.folder), seed=plan.seed, draws=plan.draws, profiles=rows, left_out=dict(plan.left_out)
    )
    if plan.out_folder is not None:
        _draw_images(plan.out_folder, comparison, predictions)
    if plan.json_file is not None:
        output.write_file(plan.json_file, msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    console.print(build_table(comparison))
    console.print(build_networks_table(comparison))
    return comparison


def _draw_examples(
    folder: Path, instances: Path | None, masks: Path, size: int, rounds: int, seed: int
) -> tuple[list[list[str]], list[Example]]:
    """Return the stems of each round, and the examples of all rounds together."""
    if instances is None:
        drawn = draw_rounds(find_examples(folder), size, rounds, seed)
        stems = [[example.stem for example in examples] for examples in drawn]
        return stems, list({example.stem: example for examples in drawn for example in examples}.values())
    data_set = read_instances(instances)
    candidates = annotated_images(data_set)
    if not candidates:
        raise InvalidExamples(f"{instances} annotates no object in any of its images")
    drawn_images = draw_rounds(candidates, size, rounds, seed)
    all_images = list({image.id: image for images in drawn_images for image in images}.values())
    stems = [[Path(image.file_name).stem for image in images] for images in drawn_images]
    return stems, write_examples(folder, data_set, all_images, masks)


def _draw_images(target: Path, comparison: Comparison, predictions: dict[str, list[Prediction]]) -> None:
    with output.replace_folder(target) as folder:
        chart = draw_scatter(list(_round_points(comparison.profiles)), "time against IoU, a point for each round")
        if chart is not None:
            chart.save(folder / output.SCATTER)
        (folder / output.WORST).mkdir()
        for row in comparison.profiles:
            by_stem = {prediction.example.stem: prediction for prediction in predictions[row.profile]}
            for rank, stem in enumerate(worst_stems(row.photos, WORST_CASES), 1):
                sheet = draw_case(by_stem[stem], row.photos[stem], note=_cause(row.profile, by_stem[stem]))
                sheet.save(folder / output.WORST / f"{row.profile}-{rank:02}-{stem}.jpg", quality=90)


def _round_points(rows: Sequence[ProfileRow]) -> Iterator[Point]:
    for row in rows:
        for means in row.rounds:
            if "time_ms" in means:
                yield Point(row.profile, means["time_ms"], means["iou"])


def _cause(profile: str, prediction: Prediction) -> str:
    pixels, truth = read_example(prediction.example)
    return f"{profile}: {likely_cause(profile, read_matte(prediction.matte, pixels, prediction.example.path), truth)}"
