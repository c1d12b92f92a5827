"""Run the HTTP gateway, and make its API keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.console import echo, err, named_errors, out


def serve(
    check: Annotated[bool, typer.Option("--check", help="Check the settings, print them and exit.")] = False,
) -> None:
    """Run the HTTP gateway until SIGTERM or Ctrl-C: remove.bg's and rembg's APIs, and jobs.

    It writes requests to Kafka and waits for their results there. It needs workers, and Kafka: `cutstream up` starts
    all of them. docs/http.md says what can be called.
    """
    from cutstream.settings import addressed, load, redacted
    from producer.gateway.preflight import check_settings
    from producer.gateway.running import run_gateway

    with named_errors(lambda error: getattr(error, "exit_status", 1)):
        settings = load()
        if check:
            check_settings(settings)
            out.print_json(json.dumps(redacted(settings)))
            return
        run_gateway(addressed(settings))


def create_key(
    name: Annotated[str, typer.Argument(help="Name of the client that the key is for, and of its entry in the file.")],
    file: Annotated[
        Path | None, typer.Option("--file", help="The keys' file. Defaults to CUTSTREAM_GATEWAY__KEYS.")
    ] = None,
) -> None:
    """Make an API key for a client, add its hash to the keys' file, and print the key. It is shown this once.

    A running gateway takes it within seconds. To revoke a key, remove its entry from the file.
    """
    from cutstream.clock import SystemClock
    from cutstream.errors import InvalidOption
    from cutstream.settings import load
    from producer.gateway.keys import create_key as create

    with named_errors():
        place = file or load().gateway.keys
        if place is None:
            raise InvalidOption("name the keys' file: --file keys.toml, or CUTSTREAM_GATEWAY__KEYS")
        echo(create(place, name, SystemClock()))
        err.print(f"Its hash is in {place}. Nobody can show the key again.", markup=False, highlight=False)
