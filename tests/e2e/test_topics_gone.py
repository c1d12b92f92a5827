"""Topics that are deleted while a worker runs are named. Once they are made again, requests are answered."""

from __future__ import annotations

import pytest

from cutstream.clients.kafka import ensure_topics
from tests.support.group import delete_topics, wait_until
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(180)]


@pytest.mark.parametrize("which", ["requests", "results", "all"])
def test_a_worker_names_the_topics_that_are_gone_and_goes_on_when_they_are_back(
    settings, small_photos, tmp_path, which
) -> None:
    kafka = settings.kafka
    every = (*kafka.request_topics, kafka.results_topic, kafka.dead_letters_topic, kafka.cancellations_topic)
    gone = {"requests": (kafka.requests_topic,), "results": (kafka.results_topic,), "all": every}[which]
    with workers(settings, tmp_path) as (worker,):
        with Results(kafka) as results:
            submit(kafka, [{"id": f"before-{n}", "image": small_photos[n]} for n in range(5)])
            results.wait_for(5, 30)
        submit(kafka, [{"id": f"lost-{n}", "image": small_photos[n % 20]} for n in range(100)])
        delete_topics(kafka, *gone)
        wait_until(lambda: "missing topics: " in worker.tail(), f"nothing is named:\n{worker.tail()}", 30)
        assert all(topic in worker.tail() for topic in gone)
        assert '"broker": false' in worker.get("/readyz")[1]
        ensure_topics(kafka)
        with Results(kafka) as results:
            submit(kafka, [{"id": f"after-{n}", "image": small_photos[n]} for n in range(5)])
            wait_until(
                lambda: results.read() and {f"after-{n}" for n in range(5)} <= {r.id for r in results.all},
                f"not all are answered:\n{worker.tail()}",
                90,
            )
        wait_until(lambda: worker.get("/readyz")[0] == 200, f"not ready:\n{worker.tail()}", 30)
