"""Measure quality: scores against true masks, profiles side by side, refinement tuned to photos, sample pictures."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from commands.console import Profile, named_errors, out, require_packages
from commands.serving import COMPARED, compared, render_models, serving
from cutstream.errors import InvalidOption


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Holds images/<name>.jpg and masks/<name>.png.")],
    profile: Profile = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Measure the mattes <name>.png of this folder instead of a profile's.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="CSV with a column `photo`; tables for each of its other columns.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the report goes.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where the pictures go: time against IoU, the worst cases.")
    ] = None,
) -> None:
    """How good are the mattes of photos whose true masks are known?

    They are cut out by the running stack, or by one that this command starts and stops. docs/evaluation.md explains
    each measure.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("evaluate", "pywt", "scipy", "skimage")
        from evaluation.scoring.run import evaluate_given, evaluate_served, plan

        if predictions and profile:
            raise InvalidOption("--predictions and --profile exclude each other: whose mattes are to be measured?")
        evaluation = plan(folder, attributes, json_file, out_folder, out)
        if predictions:
            evaluate_given(evaluation, predictions, out)
            return
        with (
            TemporaryDirectory(prefix="cutstream-") as mattes,
            serving(load(), evaluation.examples, profile, Path(mattes)) as (settings, check),
        ):
            evaluate_served(evaluation, settings, profile, Path(mattes), check, out)


def compare(
    folder: Annotated[Path, typer.Argument(help="Holds images/ and masks/, or with --coco the pictures.")],
    profiles: Annotated[
        str | None,
        typer.Option(help=f"Comma-separated; if not given, those of {','.join(COMPARED)} whose weights are at hand."),
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="instances_*.json of a COCO set; FOLDER has its pictures.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Photos of a round.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Draws among the photos.")] = 5,
    seed: Annotated[int, typer.Option(help="Other draws.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the report goes.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where the pictures go: time against IoU, the worst cases with causes.")
    ] = None,
) -> None:
    """Time, IoU and F of several profiles on the same photos, over rounds of draws. docs/evaluation.md explains it."""
    from cutstream.settings import load

    with named_errors():
        require_packages("compare", "pywt", "scipy", "skimage")
        from evaluation.comparison.run import compare as run_comparison
        from evaluation.comparison.run import plan

        settings = load()
        names, left_out = compared(settings, profiles)
        with TemporaryDirectory(prefix="cutstream-") as name:
            (masks := Path(name) / "masks").mkdir()
            (mattes := Path(name) / "mattes").mkdir()
            planned = plan(
                folder,
                coco,
                names,
                masks,
                left_out=left_out,
                size=sample,
                rounds=rounds,
                seed=seed,
                json_file=json_file,
                out_folder=out_folder,
                console=out,
            )
            run_comparison(planned, lambda found, profile: serving(settings, found, profile, mattes), mattes, out)


def tune(
    folder: Annotated[Path, typer.Argument(help="Holds photos; or images/<name>.jpg and masks/<name>.png.")],
    profile: Profile = None,
    budget: Annotated[int, typer.Option(help="How many candidates are tried, presets among them.")] = 60,
    seed: Annotated[int, typer.Option(help="Another order of search.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the report goes.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where the pictures go: mask, cutout, overlay side by side.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Where the best goes as a preset: <name>.toml (CUTSTREAM_MODELS__PRESETS).")
    ] = None,
    matting: Annotated[bool, typer.Option("--matting", help="Compare the matting methods instead.")] = False,
) -> None:
    """Which refinement suits these photos? All presets, and parameters searched from the best.

    The networks' mattes come from the running stack, or from one that this command starts and stops. docs/tuning.md
    says what the ranking means.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("tune", "pywt", "scipy", "skimage")
        if matting:
            require_packages("tune --matting", "pymatting")
            from evaluation.tuning.mattings import compare_mattings

            compare_mattings(folder, out_folder, out)
            return
        from evaluation.tuning.mattes import chosen_profile
        from evaluation.tuning.run import mattes_of, plan
        from evaluation.tuning.run import tune as run_tuning

        settings = load()
        chosen = chosen_profile(profile, settings.models)
        tuning = plan(folder, budget, seed, json_file, out_folder, save)
        with (
            TemporaryDirectory(prefix="cutstream-") as mattes,
            serving(settings, tuning.photos, chosen, Path(mattes)) as (served, check),
        ):
            samples = mattes_of(tuning, served, chosen, check, out)
        run_tuning(tuning, samples, chosen, out)


def gallery(
    out_folder: Annotated[Path, typer.Option("--out", help="Where the sheets go.")] = Path("docs/pictures"),
) -> None:
    """Draw the pictures of docs/composing.md: what each option makes of real photos. Starts the stack and stops it."""
    import consumer
    from deploy.local.running import running_stack, throwaway
    from evaluation.gallery import draw_gallery
    from producer.demo import demo_settings

    with named_errors(), TemporaryDirectory(prefix="cutstream-") as name:
        settings, _ = demo_settings(None, Path(name))
        with throwaway(settings) as own, running_stack(render_models(own), consumer.COMMAND) as stack:
            for path in draw_gallery(stack.settings, out_folder, stack.check):
                typer.echo(path)
