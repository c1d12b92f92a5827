"""Measure quality: score mattes, compare profiles, tune the refinement, and draw the sample pictures of the docs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from commands.console import Profile, echo, named_errors, out, require_packages
from commands.serving import own_stack, require_weights, serving_stack
from cutstream.errors import InvalidOption
from cutstream.folders import make_folder
from evaluation.comparison.profiles import DEFAULT_PROFILES, choose_profiles

JsonFile = Annotated[Path | None, typer.Option("--json", help="File for the report, as JSON.")]


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder with images/<name>.jpg and masks/<name>.png.")],
    profile: Profile = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score the mattes <name>.png in this folder instead of a profile's mattes.")
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(help="CSV file with a column `photo`. Each other column gets a table of its own."),
    ] = None,
    json_file: JsonFile = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for a chart of time against IoU and the worst cases.")
    ] = None,
) -> None:
    """Score mattes against the true masks of photos.

    The running stack cuts the photos out. If there is none, this command starts one and stops it.
    docs/evaluation.md explains each measure.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("evaluate", "pywt", "scipy", "skimage")
        from evaluation.scoring.run import evaluate_mattes, evaluate_profile, plan_evaluation

        if predictions and profile:
            raise InvalidOption("--predictions and --profile exclude each other: give the one whose mattes to score")
        plan = plan_evaluation(folder, attributes, json_file, out_folder, out)
        if predictions:
            evaluate_mattes(plan, predictions, out)
            return
        with (
            TemporaryDirectory(prefix="cutstream-") as mattes,
            serving_stack(load(), plan.examples, profile, Path(mattes)) as (settings, check_stack),
        ):
            evaluate_profile(plan, settings, profile, Path(mattes), check_stack, out)


def compare(
    folder: Annotated[
        Path, typer.Argument(help="Folder with images/ and masks/; with --coco, the folder of the photos.")
    ],
    profiles: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated list. Defaults to those of {','.join(DEFAULT_PROFILES)} whose weights are present."
        ),
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="The file instances_*.json of a COCO data set.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Number of photos in each round.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds; each draws its photos anew.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the random draws.")] = 0,
    json_file: JsonFile = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for a chart of time against IoU and the worst cases with likely causes."),
    ] = None,
) -> None:
    """Compare time, IoU and F-measure of several profiles on the same photos.

    Each round draws photos at random; the table shows means and spread over the rounds.
    docs/evaluation.md explains the method.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("compare", "pywt", "scipy", "skimage")
        from evaluation.comparison.run import compare_profiles, plan_comparison

        settings = load()
        chosen, left_out = choose_profiles(profiles, lambda names: require_weights(settings, names))
        with TemporaryDirectory(prefix="cutstream-") as name:
            (masks := Path(name) / "masks").mkdir()
            (mattes := Path(name) / "mattes").mkdir()
            plan = plan_comparison(
                folder,
                coco,
                chosen,
                masks,
                left_out=left_out,
                sample_size=sample,
                rounds=rounds,
                seed=seed,
                json_file=json_file,
                out_folder=out_folder,
                console=out,
            )
            compare_profiles(
                plan, lambda photos, profile: serving_stack(settings, photos, profile, mattes), mattes, out
            )


def tune(
    folder: Annotated[Path, typer.Argument(help="Folder of photos, or with images/<name>.jpg and masks/<name>.png.")],
    profile: Profile = None,
    budget: Annotated[int, typer.Option(help="Number of candidates to try, including the presets.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the search order.")] = 0,
    json_file: JsonFile = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for sheets of mask, cutout and overlay side by side.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Save the best candidate as a preset <name>.toml, for the folder CUTSTREAM_MODELS__PRESETS."),
    ] = None,
    matting: Annotated[bool, typer.Option("--matting", help="Compare the matting methods instead.")] = False,
) -> None:
    """Find the refinement that suits your photos: try all presets, then search from the best of them.

    The mattes come from the running stack. If there is none, this command starts one and stops it.
    docs/tuning.md explains the ranking.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("tune", "pywt", "scipy", "skimage")
        if matting:
            require_packages("tune --matting", "pymatting")
            from evaluation.tuning.matting_methods import compare_methods

            compare_methods(folder, out_folder, out)
            return
        from evaluation.tuning.mattes import choose_profile
        from evaluation.tuning.run import collect_mattes, plan_tuning, tune_refinement

        settings = load()
        chosen = choose_profile(profile, settings.models)
        plan = plan_tuning(folder, budget, seed, json_file, out_folder, save)
        with (
            TemporaryDirectory(prefix="cutstream-") as mattes,
            serving_stack(settings, plan.photos, chosen, Path(mattes)) as (served, check_stack),
        ):
            samples = collect_mattes(plan, served, chosen, check_stack, out)
        tune_refinement(plan, samples, chosen, out)


def gallery(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the sheets.")] = Path("gallery"),
) -> None:
    """Draw the sample pictures of docs/composing.md on a stack that this command starts and stops.

    The README's picture is drawn too if profile `precise` is served (CUTSTREAM_MODELS__PROFILES=fast,precise).
    """
    from evaluation.gallery import draw_gallery
    from evaluation.hero import PROFILE, draw_hero
    from producer.demo import demo_settings

    with named_errors(), TemporaryDirectory(prefix="cutstream-") as name:
        make_folder("--out", out_folder)
        settings, _ = demo_settings(None, Path(name))
        with own_stack(settings) as stack:
            for path in draw_gallery(stack.settings, out_folder, stack.check):
                echo(path)
            if PROFILE in stack.settings.models.profiles:
                echo(draw_hero(stack.settings, out_folder / "hero.jpg", stack.check))
