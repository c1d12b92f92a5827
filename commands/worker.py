"""Run a worker."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from commands.console import err, named_errors, out
from commands.preflight import check_deployment


def worker(
    check: Annotated[bool, typer.Option("--check", help="Check the settings, print them and exit.")] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C. It finishes the requests it has started before it exits."""
    from consumer.app import run_worker
    from consumer.resources.decoding.system_calls import why_unfiltered
    from cutstream import log
    from cutstream.settings import addressed, load, redacted

    with named_errors(lambda error: error.exit_status):
        settings = load()
        check_deployment(settings)
        if check:
            out.print_json(json.dumps(redacted(settings)))
            if reason := why_unfiltered():
                err.print(f"decoders can reach files and networks: {reason}", markup=False, highlight=False)
            return
        log.configure()
        run_worker(addressed(settings))
