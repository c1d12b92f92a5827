"""The command line. It sits on top: it alone imports the services, each inside its command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cutstream import __version__
from cutstream.errors import ConfigurationError, CutstreamError, InvalidOption, WeightsMissing

if TYPE_CHECKING:
    from cutstream.settings import Settings
    from producer.evaluation.folder import Photo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Streams image references through Kafka and Triton into finished cutouts.",
)
models = typer.Typer(no_args_is_help=True, help="The networks' weights: list, pull, verify.")
app.add_typer(models, name="models")
topics = typer.Typer(no_args_is_help=True, help="The topics on the brokers.")
app.add_typer(topics, name="topics")
backgrounds = typer.Typer(no_args_is_help=True, help="The catalogue of backgrounds: add, list, remove.")
app.add_typer(backgrounds, name="backgrounds")

out = Console()
err = Console(stderr=True)

# The heaviest to start is the first to fail, not the last, after minutes with the others.
COMPARED = ("everything", "depth", "semantic", "depth_fused", "general", "fast")
Profile = Annotated[str | None, typer.Option(help="Profile; the deployment's default if not given.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def worker(
    check: Annotated[bool, typer.Option("--check", help="Validate the settings, print them, and exit.")] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C; it drains before it ends."""
    from consumer import log
    from consumer.app import run_worker
    from cutstream.settings import addressed, load, redacted

    with named_errors():
        settings = load()
        if check:
            out.print_json(json.dumps(redacted(settings)))
            return
        log.configure()
        run_worker(addressed(settings))


@app.command()
def up() -> None:
    """Start Kafka, Triton and a worker on this machine and keep them running until Ctrl-C."""
    from cutstream.settings import load
    from deploy.local.running import running_stack, wait_until_stopped

    with named_errors(), running_stack(rendered(load())) as stack:
        out.print(addresses(stack.settings))
        out.print(
            f"ready after {stack.ready_s:.1f} s; Ctrl-C stops. In another terminal: [bold]cutstream submit PHOTOS[/]"
        )
        if not stack.settings.objects.roots:
            out.print("photos on this machine are refused unless CUTSTREAM_OBJECTS__ROOTS names their folder")
        wait_until_stopped(stack)
    out.print("stopped")


@app.command()
def submit(
    what: Annotated[str, typer.Argument(metavar="PATH|GLOB|ADDRESS|-", help="What to cut out; - reads lines.")],
    profile: Profile = None,
    outputs: Annotated[
        str, typer.Option(help="Comma-separated: cutout, mask, composite, overlay, background, layers.")
    ] = "cutout",
    format: Annotated[str, typer.Option(help="auto, png, webp, jpeg or zip.")] = "auto",
    crop: Annotated[bool, typer.Option(help="Crop to the subject.")] = False,
    crop_margin: Annotated[str | None, typer.Option(help="Margin around the crop, such as 5% or 20px.")] = None,
    background: Annotated[str, typer.Option(help="Colour of the composite.")] = "white",
    destination: Annotated[str | None, typer.Option(help="Prefix for the outputs.")] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--request", help="Any other fields of a request: a JSON object, or a file that holds one (docs/topics.md)."
        ),
    ] = None,
) -> None:
    """Write one request per picture; prints each id and reference."""
    from cutstream.clients.kafka import OutgoingRecord, RecordWriter
    from cutstream.messages import decode_request, encode
    from cutstream.settings import addressed, load
    from producer.sources import references, request_fields, request_id

    with named_errors():
        kafka = addressed(load()).kafka
        options: dict[str, Any] = {
            "profile": profile,
            "outputs": outputs.split(","),
            "format": format,
            "crop": crop,
            "crop_margin": crop_margin,
            "background": {"color": background},
            "destination": destination,
            **request_fields(fields),
        }
        writer = RecordWriter(kafka)
        writer.start()
        try:
            for reference in references(what, sys.stdin):
                id = request_id(reference)
                request = decode_request(json.dumps({"id": id, "image": reference, **options}).encode())
                writer.write([OutgoingRecord(kafka.requests_topic, id.encode(), encode(request))])
                typer.echo(f"{request.id}\t{reference}")
        finally:
            writer.close()


@app.command()
def results(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as results come, until Ctrl-C.")] = False,
) -> None:
    """Print committed results as JSON lines."""
    from cutstream.clients.kafka import TopicReader
    from cutstream.settings import addressed, load

    with named_errors():
        kafka = addressed(load()).kafka
        reader = TopicReader(kafka, kafka.results_topic)
        reader.start()
        try:
            while records := reader.poll(1.0) or follow:
                for record in records if isinstance(records, list) else ():
                    sys.stdout.write(record.value.decode() + "\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            pass  # the way to end --follow
        finally:
            reader.close()


@app.command()
def demo(
    photos: Annotated[
        str | None, typer.Option(help="Folder, file or glob; the demo's own photos if not given.")
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Where cutouts, contact sheet and summary go.")] = Path(
        "out"
    ),
    profile: Profile = None,
) -> None:
    """Start the stack, cut out photos, leave the results in a folder, stop."""
    from deploy.local.running import running_stack, throwaway
    from producer.demo import demo_settings, run_demo

    with named_errors():
        settings, references = demo_settings(photos, out_folder)
        with throwaway(settings) as own, running_stack(rendered(own)) as stack:
            out.print(addresses(stack.settings))
            run_demo(stack.settings, references, out_folder, profile, stack.check, out)


@app.command()
def gallery(
    out_folder: Annotated[Path, typer.Option("--out", help="Where the sheets go.")] = Path("docs/pictures"),
) -> None:
    """Draw the pictures of docs/composing.md: what each option makes of real photos. Starts the stack and stops it."""
    from deploy.local.running import running_stack, throwaway
    from producer.demo import demo_settings
    from producer.gallery import draw_gallery

    with named_errors(), TemporaryDirectory(prefix="cutstream-") as name:
        settings, _ = demo_settings(None, Path(name))
        with throwaway(settings) as own, running_stack(rendered(own)) as stack:
            for path in draw_gallery(stack.settings, out_folder, stack.check):
                typer.echo(path)


@app.command()
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
        require_packages("evaluate", "quality", "pywt", "scipy", "skimage")
        from producer.evaluation.run import evaluate_given, evaluate_served, plan

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


@app.command()
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
        require_packages("compare", "quality", "pywt", "scipy", "skimage")
        from producer.comparison.run import compare as run_comparison
        from producer.comparison.run import plan

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


@app.command()
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
        require_packages("tune", "quality", "pywt", "scipy", "skimage")
        if matting:
            require_packages("tune --matting", "matting", "pymatting")
            from producer.tuning.mattings import compare_mattings

            compare_mattings(folder, out_folder, out)
            return
        from producer.tuning.mattes import chosen_profile
        from producer.tuning.run import mattes_of, plan
        from producer.tuning.run import tune as run_tuning

        settings = load()
        chosen = chosen_profile(profile, settings.models)
        tuning = plan(folder, budget, seed, json_file, out_folder, save)
        with (
            TemporaryDirectory(prefix="cutstream-") as mattes,
            serving(settings, tuning.photos, chosen, Path(mattes)) as (served, check),
        ):
            samples = mattes_of(tuning, served, chosen, check, out)
        run_tuning(tuning, samples, chosen, out)


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A model of the catalogue (`cutstream models list`).")],
    weights: Annotated[
        Path | None, typer.Option(exists=True, help="The checkpoint of a net of torch: .safetensors or a state dict.")
    ] = None,
    to: Annotated[Literal["onnx", "tensorrt"], typer.Option(help="tensorrt builds a plan, on the GPU it is for.")] = (
        "onnx"
    ),
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"], typer.Option(help="What the network computes in.")
    ] = "fp32",
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of real photos, on which it is judged; int8 needs it."),
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Another place for the file than the store.")] = None,
) -> None:
    """Write the graph that is served for a model: simplified, in a precision, compared with f32, or as a TensorRT plan.

    A net of torch is made an ONNX file and compared with torch first. Without a checkpoint its weights are random: good
    for trying the way, not for pictures. docs/exporting.md explains precisions and plans.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("export", "local", "ml_dtypes", "onnx", "onnxruntime", "skimage")
        from export.catalogue import find_model, find_weights, require_family
        from export.served_graph import place_of

        settings = load().models
        model = find_model(name, settings)
        if weights or (model.family and not find_weights(model, settings)):
            require_family(model)
            require_packages("export", "export", "onnxscript", "torch", "transformers")
            from export.torch_export import export

            typer.echo(export(model, weights, settings))
            if (to, precision, out_file) == ("onnx", "fp32", None):
                return
        graph = out_file if out_file and to == "onnx" else place_of(model, precision, settings)
        if to == "tensorrt":
            from export.machine import machine, tensorrt_api

            trt, here = tensorrt_api(), machine()  # before minutes of work for nothing
        from export.write_graph import write

        written = write(model, precision, photos, settings, graph)
        typer.echo(graph)
        typer.echo(written.told())
        if to == "tensorrt":
            from export.tensorrt_plan import write_plan

            plan = out_file or place_of(model, precision, settings, ".plan")
            write_plan(trt, model, precision, settings, here, graph, plan)
            typer.echo(plan)


@topics.command("create")
def topics_create() -> None:
    """Make the topics of requests, results, dead letters and backgrounds where they are missing."""
    from cutstream.clients.kafka import ensure_topics
    from cutstream.settings import addressed, load

    with named_errors():
        ensure_topics(addressed(load()).kafka)


@backgrounds.command("add")
def backgrounds_add(
    name: Annotated[str, typer.Argument(help="1 to 100 letters, digits and any of . _ -")],
    picture: Annotated[str, typer.Argument(metavar="FILE|ADDRESS", help="A file here, or an address of a source.")],
) -> None:
    """Store a picture below the default destination and give it a name, which requests then use as background.image."""
    from cutstream.clock import SystemClock
    from cutstream.settings import addressed, load
    from producer.backgrounds import add

    with named_errors():
        entry = add(addressed(load()), name, picture, SystemClock())
        typer.echo(f"{name}: {entry.width}×{entry.height}, {entry.uri}")


@backgrounds.command("list")
def backgrounds_list() -> None:
    """The names, and what each stands for."""
    from cutstream.settings import addressed, load
    from producer.backgrounds import known

    table = Table("name", "size", "bytes", "sha256", "added")
    with named_errors():
        for name, entry in known(addressed(load()).kafka).items():
            size, added = f"{entry.width}×{entry.height}", entry.added.isoformat()
            table.add_row(name, size, f"{entry.bytes:,}", entry.sha256[:12], added)
    out.print(table)


@backgrounds.command("remove")
def backgrounds_remove(name: Annotated[str, typer.Argument(help="A name of the catalogue.")]) -> None:
    """Take a name out of the catalogue; requests that use it fail from then on. Its picture stays in the store."""
    from cutstream.settings import addressed, load
    from producer.backgrounds import remove

    with named_errors():
        entry = remove(addressed(load()).kafka, name)
        typer.echo(f"{name}: removed. Its picture stays, for requests that are under way: {entry.uri}")


@models.command("list")
def models_list() -> None:
    """What the catalogue knows, and what is here."""
    from cutstream.settings import load
    from export.catalogue import status

    table = Table("model", "licence", "here", "source")
    with named_errors():
        for entry in status(load().models):
            table.add_row(entry.name, entry.licence, "yes" if entry.present else "no", entry.source)
    out.print(table)


@models.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all that the profiles need.")] = None,
) -> None:
    """Bring weights into the store, from the mirror folder first."""
    from cutstream.settings import load
    from export.catalogue import pull

    with named_errors():
        for path in pull(load().models, names or []):
            typer.echo(path)


@models.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all that the profiles need.")] = None,
) -> None:
    """Read the stored weights anew and compare their digests."""
    from cutstream.settings import load
    from export.catalogue import verify

    with named_errors():
        for path in verify(load().models, names or []):
            typer.echo(f"{path}: good")


@models.command("render")
def models_render() -> None:
    """Write the model repository for a Triton of your own, on its machine, from the settings; print where."""
    from cutstream.settings import load
    from export.repository import render

    with named_errors():
        typer.echo(render(load()))


@contextmanager
def named_errors() -> Iterator[None]:
    """A named error is for the person who reads it: its message, not its stack, and a non-zero exit."""
    try:
        yield
    except CutstreamError as exc:
        # Not as markup: a message may quote anything, square brackets included.
        err.print(Text.assemble((exc.code, "bold red"), f": {exc}"), soft_wrap=True)
        raise typer.Exit(1) from exc


def require_packages(command: str, extra: str, *modules: str) -> None:
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ConfigurationError(
            f"`cutstream {command}` needs {', '.join(missing)}: `make setup` in a checkout, or "
            f"`pip install 'cutstream[{extra}]'`"
        )


def compared(settings: Settings, profiles: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The named profiles, all of which must be served; without names those that can be, and why the others cannot."""
    if profiles is not None:
        names = tuple(profiles.split(","))
        require_weights(settings, names)
        return names, {}
    left_out = {}
    for profile in COMPARED:
        try:
            require_weights(settings, (profile,))
        except WeightsMissing as exc:
            left_out[profile] = str(exc)
    return tuple(profile for profile in COMPARED if profile not in left_out), left_out


def require_weights(settings: Settings, profiles: tuple[str, ...]) -> None:
    """Before minutes of work with one of them: raises for a profile that there is not, and for weights that are not."""
    from export.catalogue import chosen, require

    if not settings.triton.url:
        for model in chosen(settings.models.model_copy(update={"profiles": profiles})):
            require(model, settings.models)


@contextmanager
def serving(
    settings: Settings, photos: Sequence[Photo], profile: str | None, mattes: Path
) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """The running stack if its Kafka answers, or else one of this command's own until the block is left.

    With its watchdog, which raises StackError. A broker that the settings name is meant: no other takes its place.
    """
    from cutstream.clients.kafka import check_topics
    from cutstream.settings import addressed
    from producer.evaluation.predict import evaluation_settings

    running = addressed(settings)
    if not settings.kafka.bootstrap_servers:
        from deploy.local.kafka import answers  # of the checkout: a broker that is named needs nothing of it
        from deploy.local.running import running_stack, throwaway

        if not answers(settings.stack.kafka_port):
            own = evaluation_settings(settings, photos, profile, mattes)
            with throwaway(own) as fresh, running_stack(rendered(fresh)) as stack:
                yield stack.settings, stack.check
            return
    check_topics(running.kafka)
    yield running, lambda: None


def rendered(settings: Settings) -> Settings:
    """The same settings, once the embedded Triton has what they ask it to serve."""
    from export.repository import render

    if not settings.triton.url:
        render(settings)
    return settings


def addresses(settings: Settings) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("Kafka", settings.kafka.bootstrap_servers)
    table.add_row("Triton", settings.triton.url)
    table.add_row("metrics", f"http://{settings.worker.host}:{settings.worker.port}/metrics")
    table.add_row("health", f"http://{settings.worker.host}:{settings.worker.port}/readyz")
    return table


if __name__ == "__main__":
    app()
