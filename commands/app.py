"""The list of all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from commands import (
    backgrounds,
    cancelling,
    cutting,
    dead_letters,
    evaluation,
    export,
    gateway,
    models,
    planning,
    requests,
    stack,
    top,
    topics,
    worker,
)
from commands.console import out
from cutstream import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Cut subjects out of photos as a stream: requests come in on Kafka, NVIDIA Triton runs the networks.",
)


def _group(name: str, help: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=help)
    app.add_typer(group, name=name)
    return group


app.command(epilog=cutting.EXAMPLES)(cutting.cut)
app.command()(worker.worker)
app.command(epilog=stack.UP_EXAMPLES)(stack.up)
app.command()(gateway.serve)
app.command()(top.top)
app.command(epilog=requests.SUBMIT_EXAMPLES)(requests.submit)
app.command(epilog=requests.RESULTS_EXAMPLES)(requests.results)
app.command(epilog=requests.WHERE_EXAMPLES)(requests.where)
app.command(epilog=stack.DEMO_EXAMPLES)(stack.demo)
app.command()(evaluation.gallery)
app.command()(evaluation.evaluate)
app.command()(evaluation.compare)
app.command()(evaluation.tune)
app.command(epilog=planning.EXAMPLES)(planning.plan)
app.command("export")(export.export_model)

_models = _group("models", "List, download and verify model weights; write the model repository.")
_models.command("list")(models.list_models)
_models.command("pull")(models.pull_weights)
_models.command("verify")(models.verify_weights)
_models.command("render")(models.render_repository)

_keys = _group("keys", "Make API keys for the HTTP gateway.")
_keys.command("create")(gateway.create_key)

_topics = _group("topics", "Create the Kafka topics.")
_topics.command("create")(topics.create)

_cancel = typer.Typer()
_cancel.callback(invoke_without_command=True)(cancelling.cancel)
_cancel.command("list")(cancelling.list_cancellations)
_cancel.command("undo")(cancelling.undo)
app.add_typer(_cancel, name="cancel")

_dead_letters = _group("dead-letters", "List failed requests, replay them, and purge them.")
_dead_letters.command("list")(dead_letters.list_letters)
_dead_letters.command("show")(dead_letters.show_letter)
_dead_letters.command("replay")(dead_letters.replay)
_dead_letters.command("purge")(dead_letters.purge)

_backgrounds = _group("backgrounds", "Add, list and remove pictures in the background catalogue.")
_backgrounds.command("add")(backgrounds.add_background)
_backgrounds.command("list")(backgrounds.list_backgrounds)
_backgrounds.command("remove")(backgrounds.remove_background)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit
