"""Run a worker."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from commands.console import named_errors, out


def worker(
    check: Annotated[bool, typer.Option("--check", help="Check the settings, print them and exit.")] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C. It finishes the requests it has started before it exits."""
    from consumer import log
    from consumer.app import run_worker
    from consumer.preflight import check_settings
    from cutstream.settings import addressed, load, redacted

    with named_errors(lambda error: error.exit_status):
        settings = load()
        if check:
            check_settings(settings)
            out.print_json(json.dumps(redacted(settings)))
            return
        log.configure()
        run_worker(addressed(settings))
