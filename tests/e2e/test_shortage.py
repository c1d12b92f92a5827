"""A worker that has run out of descriptors waits: no photo fails for it."""

from __future__ import annotations

import time

import pytest

from tests.support.descriptors import no_more_descriptors
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]


def test_photos_wait_while_the_worker_can_open_nothing(settings, small_photos, tmp_path) -> None:
    photos = [{"id": f"photo-{n}", "image": small_photos[n % 20]} for n in range(20)]
    with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
        submit(settings.kafka, [{"id": "before", "image": small_photos[0]}])
        results.wait_for(1, 60)
        with no_more_descriptors(worker.process.pid):
            submit(settings.kafka, photos)
            until = time.monotonic() + 8  # long enough for all attempts that a source has in place
            while time.monotonic() < until:
                results.read()
            assert [result.id for result in results.all] == ["before"]
        done = results.wait_for(1 + len(photos), 60)
        assert worker.process.poll() is None
    assert_exactly_once(done, ["before", *(photo["id"] for photo in photos)])
    assert {(result.status, result.attempts) for result in done} == {("ok", 1)}
