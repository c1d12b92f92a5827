"""A failed request can be replayed, once, and a mistaken batch can be called off."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from click.testing import Result
from typer.testing import CliRunner

from commands.app import app
from cutstream.settings import Settings, as_environment
from tests.e2e.conftest import DATA
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]


def run(settings: Settings, *arguments: str) -> Result:
    done = CliRunner().invoke(app, list(arguments), env=as_environment(settings))
    assert done.exit_code == 0, done.output
    return done


def test_a_failed_request_is_replayed_until_it_succeeds_and_never_after(settings, folder, tmp_path) -> None:
    photo = folder / "late.png"
    request = {"image": photo.as_uri(), "labels": {"shop": "1"}}
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [request])  # without an id
        (failed,) = results.wait_for(1, 30)
        assert (failed.status, failed.replay) == ("failed", 0)
        (line,) = run(settings, "dead-letters", "list", "--json", "--label", "shop=1").stdout.splitlines()
        assert (json.loads(line)["id"], json.loads(line)["code"]) == (failed.id, "failed_image_download")
        assert json.loads(run(settings, "dead-letters", "show", failed.id).stdout)["image"] == photo.as_uri()

        run(settings, "dead-letters", "replay")  # too soon: it fails again
        assert results.wait_for(2, 30)[1].status == "failed"
        shutil.copy(DATA / "chelsea.png", photo)
        assert run(settings, "dead-letters", "replay").stdout == f"{failed.id}\treplay 2\nReplayed 1.\n"
        last = results.wait_for(3, 30)[2]
        assert (last.status, last.id, last.replay) == ("ok", failed.id, 2)
        assert (last.source, last.labels) == (failed.source, {"shop": "1"})
        assert run(settings, "dead-letters", "replay").stdout == "There is nothing to replay.\n"
        assert len(results.wait_for(3, 5)) == 3


def test_a_batch_is_called_off_under_load(settings, small_photos, tmp_path) -> None:
    early = [{"id": f"early-{n}", "image": small_photos[n]} for n in range(3)]
    load = [
        {"id": f"r-{n}", "image": small_photos[n % 20], "labels": {"batch": "mistake" if n % 5 else "fine"}}
        for n in range(500)
    ]
    later = {"id": "later", "image": small_photos[0], "labels": {"batch": "mistake"}}
    mistaken = {request["id"] for request in load if request["labels"]["batch"] == "mistake"}

    submit(settings.kafka, early)
    run(settings, "cancel", "--id", "early-0", "--id", "early-2")
    assert "early-2" in run(settings, "cancel", "list").stdout
    run(settings, "cancel", "undo", "--id", "early-2")
    with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
        early_status = {result.id: result.status for result in results.wait_for(3, 30)}
        assert early_status == {"early-0": "cancelled", "early-1": "ok", "early-2": "ok"}

        submit(settings.kafka, load)
        while results.read() < 13:
            time.sleep(0.05)
        run(settings, "cancel", "--batch", "mistake")
        submit(settings.kafka, [later])
        found = results.wait_for(504, 60)
        assert_exactly_once(found, [request["id"] for request in (*early, *load, later)])
        cancelled = {result.id for result in found[3:] if result.status == "cancelled"}
        assert cancelled
        assert cancelled < mistaken, "some had finished before"
        assert all(result.status == "ok" for result in found[3:] if result.id not in cancelled)
        assert all(
            (result.error.code, result.objects) == ("cancelled", ()) for result in found if result.id in cancelled
        )
        assert worker.metric("cutstream_requests_total", 'status="cancelled"') == len(cancelled) + 1
        assert run(settings, "dead-letters", "list").stdout == "0 dead letters.\n"
