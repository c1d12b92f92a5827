"""Tuning from its folder to what it leaves, with progress to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Triton
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of
from cutstream.errors import InvalidOption
from cutstream.matting.presets import PRESETS
from cutstream.settings import Settings
from evaluation.scoring import output
from evaluation.scoring.folder import Photo
from evaluation.tuning.mattes import ask
from evaluation.tuning.measure import Figures, Mapper, mean, measure, over_the_cores
from evaluation.tuning.photos import Sample, masked, photos
from evaluation.tuning.pictures import sheet
from evaluation.tuning.preset_file import as_toml, check_name
from evaluation.tuning.report import BY_EDGES, BY_TRUTH, Candidate, Report, as_json, goodness, ranked, table
from evaluation.tuning.search import Goodness, search

SHEETS = "sheets"
MOST_SHEETS = 12
BESIDE_THE_BEST = ("soft", "base", "aggressive", "conservative")


@dataclass(frozen=True)
class Tuning:
    """What is to be tuned; `plan` has checked it, so that nothing is found wrong after minutes of work."""

    folder: Path
    photos: Sequence[Photo]
    budget: int
    seed: int
    json_file: Path | None
    out_folder: Path | None
    save: Path | None


def plan(
    folder: Path, budget: int, seed: int, json_file: Path | None, out_folder: Path | None, save: Path | None
) -> Tuning:
    """Raises InvalidExamples or InvalidOption for whatever of it cannot be used, before anything is written."""
    output.check_targets(json_file, out_folder, {SHEETS})
    if save is not None:
        check_name(save)
    if budget < len(PRESETS):
        raise InvalidOption(f"--budget {budget}: at least {len(PRESETS)}, so that every preset is tried")
    return Tuning(folder, photos(folder), budget, seed, json_file, out_folder, save)


def mattes_of(
    tuning: Tuning, settings: Settings, profile: str, check: Callable[[], None], console: Console
) -> list[Sample]:
    """From the Triton of `settings`."""
    triton = Triton(settings.triton)
    try:
        samples = ask(tuning.photos, profile, triton, CpuOps(), check)
        with _progress(console) as progress:
            return list(progress.track(samples, total=len(tuning.photos), description="cutting out"))
    finally:
        triton.close()


def tune(tuning: Tuning, samples: Sequence[Sample], profile: str, console: Console) -> Report:
    """`profile` is what made the mattes."""
    found: dict[RefineParameters, list[Figures]] = {}
    with over_the_cores(len(samples)) as mapper, _progress(console) as progress:
        task = progress.add_task("trying", total=tuning.budget)

        def judge(candidates: Sequence[RefineParameters]) -> list[Goodness]:
            found.update(_measured(samples, candidates, mapper))
            progress.update(task, completed=len(found))
            return [goodness(mean(found[how])) for how in candidates]

        search(map(parameters_of, PRESETS.values()), judge, tuning.budget, tuning.seed)
    has_masks = masked(tuning.photos)
    report = Report(
        folder=str(tuning.folder),
        profile=profile,
        photos=len(samples),
        masks=has_masks,
        ranked_by=BY_TRUTH if has_masks else BY_EDGES,
        candidates=ranked({how: mean(figures) for how, figures in found.items()}),
    )
    _leave(tuning, report, _most_disputed(samples, found.values()), console)
    return report


def _measured(
    samples: Sequence[Sample], candidates: Sequence[RefineParameters], mapper: Mapper
) -> Mapping[RefineParameters, list[Figures]]:
    by_candidate = zip(*measure(samples, candidates, mapper), strict=True)
    return {how: list(figures) for how, figures in zip(candidates, by_candidate, strict=True)}


def _most_disputed(samples: Sequence[Sample], found: Iterable[Sequence[Figures]]) -> list[Sample]:
    """The photos whose coverage the candidates differ most about."""
    shares = [[figures.coverage for figures in photo] for photo in zip(*found, strict=True)]
    spread = [max(of_photo) - min(of_photo) for of_photo in shares]
    order = sorted(range(len(samples)), key=lambda place: -spread[place])
    return [samples[place] for place in order[:MOST_SHEETS]]


def _leave(tuning: Tuning, report: Report, disputed: Sequence[Sample], console: Console) -> None:
    if tuning.out_folder is not None:
        with output.whole_folder(tuning.out_folder) as folder:
            (folder / SHEETS).mkdir()
            for place, sample in enumerate(disputed, 1):
                drawn = sheet(sample, _shown(report.candidates))
                drawn.save(folder / SHEETS / f"{place:02}-{sample.photo.stem}.jpg", quality=90)
    if tuning.json_file is not None:
        output.write_file(tuning.json_file, as_json(report))
    if tuning.save is not None:
        output.write_file(tuning.save, as_toml(report.best.parameters, _note(report)))
    console.print(table(report))
    console.print(f"ranked by {report.ranked_by}", markup=False, highlight=False)
    for name, path in (("report", tuning.json_file), ("pictures", tuning.out_folder), ("preset", tuning.save)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _shown(candidates: Sequence[Candidate]) -> dict[str, RefineParameters]:
    """The best two, and presets to compare with."""
    best = {f"{place}. {candidate.name}": candidate.parameters for place, candidate in enumerate(candidates[:2], 1)}
    presets = {name: parameters_of(PRESETS[name]) for name in BESIDE_THE_BEST}
    return {**best, **{name: preset for name, preset in presets.items() if preset not in best.values()}}


def _note(report: Report) -> str:
    """A comment of the preset's file."""
    figures = report.best.figures
    good = f"along edges {figures.edge_agreement:.3f}" if figures.iou is None else f"IoU {figures.iou:.3f}"
    return (
        f"The best of {len(report.candidates)} candidates on {report.photos} photos of {report.folder}, profile "
        f"{report.profile}: {good}."
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
