"""A worker halts for a fault of its deployment, never for wrong requests, and others go on with its work.

Where its settings may be at fault, or the requests, it holds these back.
"""

from __future__ import annotations

import json
import signal

import pytest

from cutstream.settings import ObjectSettings
from tests.support.group import wait_until
from tests.support.workers import Results, WorkerProcess, assert_exactly_once, submit

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

LIMIT = 10


def last_event(worker: WorkerProcess) -> dict[str, str]:
    return dict(json.loads(worker.tail(1)))


def test_a_worker_that_cannot_decode_halts_and_its_requests_are_left_to_another(
    settings, small_photos, tmp_path
) -> None:
    limited = settings.worker.model_copy(update={"max_consecutive_failures": LIMIT, "window": 4})
    settings = settings.model_copy(update={"worker": limited})
    no_time = settings.limits.model_copy(update={"decode_timeout_s": 1e-6})
    misconfigured = WorkerProcess(settings.model_copy(update={"limits": no_time}), tmp_path / "bad.log")
    other = None
    try:
        misconfigured.wait_ready()
        with Results(settings.kafka) as results:
            submit(settings.kafka, [b"{}"] * 300)
            assert {result.error.code for result in results.wait_for(300, 60)} == {"invalid_request"}
            assert misconfigured.get("/readyz")[0] == 200, "wrong requests stop nobody"

            requests = [{"id": f"photo-{n}", "image": small_photos[n % 20]} for n in range(100)]
            submit(settings.kafka, requests)
            wait_until(lambda: misconfigured.metric("cutstream_halted") == 1, "it does not halt")
            status, body = misconfigured.get("/readyz")
            halted = json.loads(body)["halted"]
            assert (status, halted["code"]) == (503, "poison_limit")
            assert "failed_to_read_image" in halted["message"]
            assert misconfigured.get("/healthz")[0] == 200
            assert misconfigured.metric("cutstream_assigned_partitions") == 0
            assert misconfigured.metric("cutstream_ready", 'check="running"') == 0
            event = last_event(misconfigured)
            assert (event["level"], event["code"]) == ("critical", "poison_limit")
            assert event["event"].startswith("halted: ")

            other = WorkerProcess(settings, tmp_path / "good.log").wait_ready()
            done = [result for result in results.wait_for(400, 60) if result.id.startswith("photo-")]
        assert_exactly_once(done, [request["id"] for request in requests])
        # A decoder that had begun blames its file, and not the deployment: such failures do not count.
        # A photo counts once, however many requests name it.
        photo_of = {request["id"]: request["image"] for request in requests}
        counted = {photo_of[result.id] for result in done if result.error and result.error.retryable}
        assert LIMIT <= len(counted) <= LIMIT + limited.window
        assert last_event(misconfigured) == event, "nothing is logged after the reason"
        assert misconfigured.process.poll() is None, "it waits for an operator"
        misconfigured.signal(signal.SIGTERM)
        assert misconfigured.process.wait(20) == 1
        assert misconfigured.tail(1).startswith("poison_limit: ")
    finally:
        for worker in filter(None, (misconfigured, other)):
            worker.kill()


def test_what_a_worker_without_its_folders_refuses_is_held_back_until_they_are_there(
    settings, small_photos, tmp_path
) -> None:
    limited = settings.worker.model_copy(update={"max_consecutive_failures": LIMIT, "window": 4})
    soon = settings.limits.model_copy(update={"retry_delay_s": 1.0})
    settings = settings.model_copy(update={"worker": limited, "limits": soon})
    lost_folders = ObjectSettings(destination=settings.objects.destination)
    worker = WorkerProcess(settings.model_copy(update={"objects": lost_folders}), tmp_path / "bad.log")
    try:
        worker.wait_ready()
        with Results(settings.kafka) as results:
            requests = [{"id": f"photo-{n}", "image": small_photos[n % 20]} for n in range(100)]
            submit(settings.kafka, requests)
            refused = results.wait_for(LIMIT, 60)
            assert {result.error.code for result in refused} == {"invalid_image_url"}
            wait_until(lambda: worker.metric("cutstream_in_doubt", 'about="settings"') == 1, "it does not doubt")
            assert worker.get("/readyz")[0] == 200, "refused requests stop nobody"
            worker.signal(signal.SIGTERM)
            assert worker.process.wait(30) == 0

            worker = WorkerProcess(settings, tmp_path / "good.log").wait_ready()
            done = results.wait_for(100, 60)
        assert_exactly_once(done, [request["id"] for request in requests])
        failed = [result for result in done if result.status == "failed"]
        assert LIMIT <= len(failed) <= LIMIT + limited.window
    finally:
        worker.kill()
