"""Run tuning, from its folder of photos to its report, sheets and preset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Triton
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of
from cutstream.errors import InvalidOption
from cutstream.matting.presets import PRESETS
from cutstream.settings import Settings
from evaluation import output
from evaluation.folder import Photo
from evaluation.parallel import Mapper, process_mapper
from evaluation.progress import progress_bar
from evaluation.tuning.mattes import infer_mattes
from evaluation.tuning.measure import Figures, average, measure_candidates
from evaluation.tuning.photos import Sample, find_photos, have_masks
from evaluation.tuning.preset_file import check_name, to_toml
from evaluation.tuning.report import (
    RANKED_BY_EDGES,
    RANKED_BY_MASKS,
    Candidate,
    Report,
    build_table,
    rank_candidates,
    rank_key,
    to_json,
)
from evaluation.tuning.search import RankKey, search
from evaluation.tuning.sheets import draw_sheet

SHEETS = "sheets"
MAX_SHEETS = 12
SHEET_PRESETS = ("soft", "base", "aggressive", "conservative")  # drawn below the best two candidates


@dataclass(frozen=True)
class TuningPlan:
    """Checked inputs and outputs of tuning, so that no mistake shows only after minutes of work."""

    folder: Path
    photos: Sequence[Photo]
    budget: int
    seed: int
    json_file: Path | None
    out_folder: Path | None
    save: Path | None


def plan_tuning(
    folder: Path, budget: int, seed: int, json_file: Path | None, out_folder: Path | None, save: Path | None
) -> TuningPlan:
    """Check everything that tuning uses, and write nothing.

    Raises InvalidExamples or InvalidOption for what cannot be used.
    """
    output.check_targets(json_file, out_folder, {SHEETS})
    if save is not None:
        check_name(save)
    if budget < len(PRESETS):
        raise InvalidOption(
            f"--budget {budget} is too small: give at least {len(PRESETS)}, so that every preset is tried"
        )
    return TuningPlan(folder, find_photos(folder), budget, seed, json_file, out_folder, save)


def collect_mattes(
    plan: TuningPlan, settings: Settings, profile: str, check_stack: Callable[[], None], console: Console
) -> list[Sample]:
    """Get the mattes of all photos from the Triton of `settings`, with a progress bar."""
    triton = Triton(settings.triton)
    try:
        samples = infer_mattes(plan.photos, profile, triton, CpuOps(), check_stack)
        with progress_bar(console) as progress:
            return list(progress.track(samples, total=len(plan.photos), description="cutting out"))
    finally:
        triton.close()


def tune_refinement(plan: TuningPlan, samples: Sequence[Sample], profile: str, console: Console) -> Report:
    """Try presets and searched candidates on the mattes of the profile, and write the outputs."""
    results: dict[RefineParameters, list[Figures]] = {}
    with process_mapper(len(samples)) as mapper, progress_bar(console) as progress:
        task = progress.add_task("trying", total=plan.budget)

        def judge(candidates: Sequence[RefineParameters]) -> list[RankKey]:
            results.update(_measure_all(samples, candidates, mapper))
            progress.update(task, completed=len(results))
            return [rank_key(average(results[parameters])) for parameters in candidates]

        search(map(parameters_of, PRESETS.values()), judge, plan.budget, plan.seed)
    has_masks = have_masks(plan.photos)
    report = Report(
        folder=str(plan.folder),
        profile=profile,
        photos=len(samples),
        masks=has_masks,
        ranked_by=RANKED_BY_MASKS if has_masks else RANKED_BY_EDGES,
        candidates=rank_candidates({parameters: average(figures) for parameters, figures in results.items()}),
    )
    _write_outputs(plan, report, _most_disputed(samples, results.values()), console)
    return report


def _measure_all(
    samples: Sequence[Sample], candidates: Sequence[RefineParameters], mapper: Mapper
) -> Mapping[RefineParameters, list[Figures]]:
    by_candidate = zip(*measure_candidates(samples, candidates, mapper), strict=True)
    return {parameters: list(figures) for parameters, figures in zip(candidates, by_candidate, strict=True)}


def _most_disputed(samples: Sequence[Sample], results: Iterable[Sequence[Figures]]) -> list[Sample]:
    """Return the photos whose coverage differs most between candidates. `results` has each candidate's figures."""
    coverages = [[figures.coverage for figures in photo] for photo in zip(*results, strict=True)]
    spreads = [max(photo) - min(photo) for photo in coverages]
    order = sorted(range(len(samples)), key=lambda index: -spreads[index])
    return [samples[index] for index in order[:MAX_SHEETS]]


def _write_outputs(plan: TuningPlan, report: Report, disputed: Sequence[Sample], console: Console) -> None:
    if plan.out_folder is not None:
        with output.replace_folder(plan.out_folder) as folder:
            (folder / SHEETS).mkdir()
            for rank, sample in enumerate(disputed, 1):
                sheet = draw_sheet(sample, _sheet_candidates(report.candidates))
                sheet.save(folder / SHEETS / f"{rank:02}-{sample.photo.stem}.jpg", quality=90)
    if plan.json_file is not None:
        output.write_file(plan.json_file, to_json(report))
    if plan.save is not None:
        output.write_file(plan.save, to_toml(report.best.parameters, _note(report)))
    console.print(build_table(report))
    console.print(f"ranked by {report.ranked_by}", markup=False, highlight=False)
    for name, path in (("report", plan.json_file), ("images", plan.out_folder), ("preset", plan.save)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _sheet_candidates(candidates: Sequence[Candidate]) -> dict[str, RefineParameters]:
    """Return the best two candidates, and presets to compare them with."""
    best = {f"{rank}. {candidate.name}": candidate.parameters for rank, candidate in enumerate(candidates[:2], 1)}
    presets = {name: parameters_of(PRESETS[name]) for name in SHEET_PRESETS}
    return {**best, **{name: preset for name, preset in presets.items() if preset not in best.values()}}


def _note(report: Report) -> str:
    """Return the comment at the top of the preset's file."""
    figures = report.best.figures
    score = f"along edges {figures.edge_agreement:.3f}" if figures.iou is None else f"IoU {figures.iou:.3f}"
    return (
        f"The best of {len(report.candidates)} candidates on {report.photos} photos of {report.folder}, profile "
        f"{report.profile}: {score}."
    )
