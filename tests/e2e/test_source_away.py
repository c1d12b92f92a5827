"""A request whose own source is away waits on the retry topic: it holds no other, and still has exactly one result."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kafka.admin import KafkaAdminClient

from cutstream.contract.redelivery import read_redelivery
from cutstream.settings import KafkaSettings, Settings
from tests.support.group import wait_until
from tests.support.http_server import HttpServer, serving
from tests.support.ports import free_ports, never_answering
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]


def with_limits(settings: Settings, **limits) -> Settings:
    """Return settings that allow sources on this machine, with these limits."""
    return settings.model_copy(
        update={
            "objects": settings.objects.model_copy(update={"allow_private_addresses": True}),
            "limits": settings.limits.model_copy(update={"download_timeout_s": 2.0, "source_attempts": 2, **limits}),
        }
    )


def committed(kafka: KafkaSettings, topic: str) -> int:
    """Return the number of records of the topic that are committed as done."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin:
        offsets = admin.list_group_offsets(kafka.group)[kafka.group]
    return sum(committed.offset for tp, committed in offsets.items() if tp.topic == topic)


def waited_twice(retries: Results) -> int:
    retries.read()
    times = Counter(record.value for record in retries.records)
    return sum(count >= 2 for count in times.values())


def test_a_source_that_comes_back_fails_no_request_even_if_the_worker_is_killed(
    settings, small_photos, tmp_path
) -> None:
    settings = with_limits(settings, retry_delay_s=3.0, retries=20)
    kafka = settings.kafka
    (port,) = free_ports(1)
    photo = Path(urlsplit(small_photos[0]).path).read_bytes()
    away = [{"id": f"away-{n}", "image": f"http://127.0.0.1:{port}/files/photo"} for n in range(12)]
    near = [{"id": f"near-{n}", "image": small_photos[n % 20]} for n in range(100)]
    mixed = [*away[:8], *near, *away[8:]]
    with Results(kafka) as results, Results(kafka, kafka.retry_topic) as retries:
        with workers(settings, tmp_path) as (worker,):
            submit(kafka, mixed)
            assert {result.id for result in results.wait_for(len(near), 60)} == {request["id"] for request in near}
            assert committed(kafka, kafka.requests_topic) == len(mixed), "a request that waits holds its partition"
            worker.kill()
        with workers(settings, tmp_path) as (worker,):
            wait_until(lambda: waited_twice(retries) == len(away), "some requests were not postponed twice")
            server = HttpServer(port=port)
            server.files["photo"] = photo
            with serving(server):
                done = results.wait_for(len(mixed), 60)
                assert worker.metric("cutstream_postponed_total") >= len(away)
                # The retry topic ends with a transaction's marker, which nobody answers.
                wait_until(lambda: not worker.metric("cutstream_consumer_lag_records"), "a lag is left")
    assert_exactly_once(done, [request["id"] for request in mixed])
    assert all(result.status == "ok" for result in done)
    assert all(result.source.topic == kafka.requests_topic for result in done)
    assert {result.attempts >= 4 for result in done if result.id.startswith("away")} == {True}


@pytest.mark.parametrize("hosts", [1, 60])
def test_hosts_that_never_answer_hold_up_no_host_that_has_answered(settings, small_photos, tmp_path, hosts) -> None:
    settings = with_limits(settings, download_timeout_s=5.0, retry_delay_s=3600.0)
    kafka = settings.kafka
    photo = Path(urlsplit(small_photos[0]).path).read_bytes()
    with (
        never_answering() as port,
        serving(HttpServer()) as server,
        Results(kafka) as results,
        Results(kafka, kafka.retry_topic) as retries,
        workers(settings, tmp_path),
    ):
        server.files["photo"] = photo
        near = [{"id": f"near-{n}", "image": server.url("files/photo")} for n in range(60)]
        away = [{"id": f"away-{n}", "image": f"http://127.0.9.{1 + n % hosts}:{port}/photo"} for n in range(120)]
        submit(kafka, near[:1])
        results.wait_for(1, 60)
        submit(kafka, [request for pair in zip(away, away[60:], near[1:], strict=False) for request in pair])
        done = results.wait_for(len(near), 60)  # one after the other, the downloads would take longer
        wait_until(lambda: retries.read() >= 118, "requests for hosts that do not answer stay")
        tried = sum(read_redelivery(record.headers).attempts for record in retries.records)
    assert hosts > 1 or tried <= 24, "each of these held its place until the download's time limit"
    assert_exactly_once(done, [request["id"] for request in near])
    assert all(result.status == "ok" for result in done)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_source_that_stays_away_fails_its_request_after_the_last_retry(
    settings, small_photos, tmp_path, delivery
) -> None:
    settings = with_limits(settings, retry_delay_s=1.0, retries=2)
    kafka = settings.kafka.model_copy(update={"delivery": delivery})
    settings = settings.model_copy(update={"kafka": kafka})
    (port,) = free_ports(1)
    with (
        serving(HttpServer()) as server,
        Results(kafka) as results,
        Results(kafka, kafka.dead_letters_topic) as letters,
        workers(settings, tmp_path),
    ):
        submit(kafka, [{"image": f"http://127.0.0.1:{port}/photo"}, {"id": "busy", "image": server.url("busy/600")}])
        done = results.wait_for(2, 60)
        wait_until(lambda: letters.read() >= 2, "a dead letter is missing")
    gone = next(result for result in done if result.id != "busy")
    busy = next(result for result in done if result.id == "busy")
    assert gone.id == f"{kafka.requests_topic}-{gone.source.partition}-{gone.source.offset}"
    for result in done:
        assert (result.status, result.attempts, result.source.topic) == ("failed", 4, kafka.requests_topic)
        assert (result.error.code, result.error.retryable) == ("failed_image_download", True)
    assert len(server.seen) == busy.attempts
    origins = {
        (
            result.id.encode(),
            result.source.topic.encode(),
            b"%d" % result.source.partition,
            b"%d" % result.source.offset,
        )
        for result in done
    }
    named = [dict(letter.headers) for letter in letters.records]
    assert len(named) == 2
    assert {
        tuple(headers[f"__cutstream.errors.{name}"] for name in ("request-id", "topic", "partition", "offset"))
        for headers in named
    } == origins
