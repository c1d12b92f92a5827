"""A request's own destination that cannot be written to stops nobody else, and its requests end by name."""

from __future__ import annotations

import time

import pytest
from pydantic import SecretStr

from cutstream.settings import Settings
from tests.support.http_server import HttpServer, serving
from tests.support.ports import never_answering
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

ALL_AWAY = 60
LARGE = {"canvas": "8000x6000", "outputs": ["mask"]}  # each takes more than half of the memory budget


def with_store(settings: Settings, endpoint: str, **limits: float) -> Settings:
    objects = {
        "s3_endpoint": endpoint,
        "s3_access_key_id": "key",
        "s3_secret_access_key": SecretStr("secret"),
        "allowed_buckets": ("theirs",),
    }
    return settings.model_copy(
        update={
            "objects": settings.objects.model_copy(update=objects),
            "limits": settings.limits.model_copy(update=limits),
        }
    )


def test_a_destination_that_never_answers_holds_up_nobody(settings, small_photos, tmp_path) -> None:
    with never_answering() as port:
        settings = with_store(settings, f"http://127.0.0.1:{port}", retry_delay_s=1.0, retries=2)
        away = [
            {"id": f"away-{n}", "image": small_photos[n % 20], "destination": "s3://theirs/out", **LARGE}
            for n in range(ALL_AWAY)
        ]
        good = [{"id": f"good-{n}", "image": small_photos[n]} for n in range(5)]
        with Results(settings.kafka) as results, workers(settings, tmp_path):
            started_s = time.monotonic()
            submit(settings.kafka, [*away, *good])
            while sum(result.id.startswith("good") for result in results.all) < len(good):
                assert time.monotonic() - started_s < 30, "good requests wait for others' destination"
                results.read()
            done = results.wait_for(ALL_AWAY + len(good), 90)
    assert_exactly_once(done, [request["id"] for request in (*away, *good)])
    for result in done:
        if result.id.startswith("away"):
            assert result.status == "failed"
            assert (result.error.code, result.error.retryable) == ("destination_unavailable", True)
        else:
            assert result.status == "ok"


@pytest.mark.parametrize("status", [301, 400])
def test_a_destination_that_can_never_work_fails_its_request_at_once(settings, small_photos, tmp_path, status) -> None:
    with serving(HttpServer()) as server:
        settings = with_store(settings, server.url(f"status/{status}"))
        with Results(settings.kafka) as results, workers(settings, tmp_path):
            submit(settings.kafka, [{"id": "a", "image": small_photos[0], "destination": "s3://theirs/out"}])
            (result,) = results.wait_for(1, 30)
    assert (result.error.code, result.error.stage) == ("invalid_destination", "store")
    assert (result.error.retryable, result.attempts) == (False, 1)
    assert ("region" if status == 301 else "400") in result.error.message


def test_a_name_that_is_taken_in_the_default_destination_holds_up_nobody(
    settings, folder, small_photos, tmp_path
) -> None:
    """More requests than a window holds want a folder that is a file: they fail by name, and the others go on."""
    (folder / "out").mkdir()
    (folder / "out" / "taken").touch()
    taken = [{"id": "taken", "image": small_photos[n % 20], "outputs": ["mask"]} for n in range(41)]
    good = [{"id": f"good-{n}", "image": small_photos[n]} for n in range(5)]
    with Results(settings.kafka) as results, workers(settings, tmp_path):
        submit(settings.kafka, [*taken, *good])
        done = results.wait_for(len(taken) + len(good), 60)
    ends = {(r.id, r.status, r.error and r.error.code, r.error and r.error.stage) for r in done}
    assert ends == {("taken", "failed", "output_refused", "store")} | {(r["id"], "ok", None, None) for r in good}
