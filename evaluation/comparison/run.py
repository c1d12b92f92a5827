"""A comparison of profiles from its photos to what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from cutstream.settings import Settings
from evaluation.comparison.causes import likely_cause
from evaluation.comparison.coco import annotated, as_examples, read_instances
from evaluation.comparison.rounds import Comparison, Row, draws, nets, row, table
from evaluation.scoring import output
from evaluation.scoring.folder import Example, InvalidExamples, examples, read_example, read_matte
from evaluation.scoring.measure import Prediction
from evaluation.scoring.pictures import Point, case, scatter, worst
from evaluation.scoring.run import check_photos, cut_out, measured

WORST_CASES = 6

# A stack that serves the profile, and its watchdog, until the block is left.
Serve = Callable[[Sequence[Example], str], AbstractContextManager[tuple[Settings, Callable[[], None]]]]


@dataclass(frozen=True)
class Plan:
    """What is compared on what; checked, so that nothing is found wrong after minutes of inference."""

    folder: Path
    examples: Sequence[Example]
    draws: list[list[str]]
    seed: int
    profiles: Sequence[str]
    left_out: Mapping[str, str]
    json_file: Path | None
    out_folder: Path | None


def plan(
    folder: Path,
    instances: Path | None,
    profiles: Sequence[str],
    masks: Path,
    *,
    left_out: Mapping[str, str],
    size: int,
    rounds: int,
    seed: int,
    json_file: Path | None,
    out_folder: Path | None,
    console: Console,
) -> Plan:
    """Raises InvalidExamples or InvalidOption.

    With `instances` the folder is a COCO set's; `masks` takes its masks. `left_out`: profiles, and why they are not
    among `profiles`.
    """
    output.check_targets(json_file, out_folder)
    drawn, found = _drawn(folder, instances, masks, size, rounds, seed)
    check_photos(found, console)
    for profile, why in left_out.items():
        console.print(f"{profile} is left out: {why}", markup=False, highlight=False, soft_wrap=True)
    return Plan(folder, found, drawn, seed, profiles, left_out, json_file, out_folder)


def compare(plan: Plan, serve: Serve, mattes: Path, console: Console) -> Comparison:
    rows, predictions = [], {}
    for profile in plan.profiles:
        console.print(f"profile {profile}", highlight=False)
        (place := mattes / profile).mkdir()
        with serve(plan.examples, profile) as (settings, check):
            predictions[profile], model, _ = cut_out(plan.examples, settings, profile, place, check, console)
        rows.append(row(profile, model, measured(predictions[profile], console), plan.draws))
    found = Comparison(
        folder=str(plan.folder), seed=plan.seed, draws=plan.draws, profiles=rows, left_out=dict(plan.left_out)
    )
    if plan.out_folder is not None:
        _draw(plan.out_folder, found, predictions)
    if plan.json_file is not None:
        output.write_file(plan.json_file, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    console.print(table(found))
    console.print(nets(found))
    return found


def _drawn(
    folder: Path, instances: Path | None, masks: Path, size: int, rounds: int, seed: int
) -> tuple[list[list[str]], list[Example]]:
    """The names of each round, and the examples of all rounds together."""
    if instances is None:
        pairs = draws(examples(folder), size, rounds, seed)
        return _names(pairs), list({example.stem: example for chosen in pairs for example in chosen}.values())
    known = read_instances(instances)
    showing = annotated(known)
    if not showing:
        raise InvalidExamples(f"{instances} annotates no object in any of its pictures")
    pictures = draws(showing, size, rounds, seed)
    every = list({picture.id: picture for chosen in pictures for picture in chosen}.values())
    names = [[Path(picture.file_name).stem for picture in chosen] for chosen in pictures]
    return names, as_examples(folder, known, every, masks)


def _names(rounds: Sequence[Sequence[Example]]) -> list[list[str]]:
    return [[example.stem for example in chosen] for chosen in rounds]


def _draw(target: Path, found: Comparison, predictions: dict[str, list[Prediction]]) -> None:
    with output.whole_folder(target) as folder:
        chart = scatter(list(_points(found.profiles)), "time against IoU, a point for each round")
        if chart is not None:
            chart.save(folder / output.SCATTER)
        (folder / output.WORST).mkdir()
        for one in found.profiles:
            by_stem = {prediction.example.stem: prediction for prediction in predictions[one.profile]}
            for place, stem in enumerate(worst(one.photos, WORST_CASES), 1):
                sheet = case(by_stem[stem], one.photos[stem], note=_cause(one.profile, by_stem[stem]))
                sheet.save(folder / output.WORST / f"{one.profile}-{place:02}-{stem}.jpg", quality=90)


def _points(rows: Sequence[Row]) -> Iterator[Point]:
    for one in rows:
        for means in one.rounds:
            if "time_ms" in means:
                yield Point(one.profile, means["time_ms"], means["iou"])


def _cause(profile: str, prediction: Prediction) -> str:
    pixels, truth = read_example(prediction.example)
    return f"{profile}: {likely_cause(profile, read_matte(prediction.matte, pixels, prediction.example.photo), truth)}"
