from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import inf
from unittest.mock import MagicMock

import pytest

from consumer.pipeline import Dependencies, build_pipeline
from cutstream.exposition import read_exposition
from cutstream.metrics import Metrics
from cutstream.settings import Settings
from cutstream.watching.scraping import Observed, Scrape
from cutstream.watching.view import RETRY_TOPIC, STAGES, view_of


def observed(metrics: Metrics, change: Callable[[Metrics], object], seconds: float = 10, name: str = "a:1") -> Observed:
    def answer(at_s: float) -> Scrape:
        return Scrape(at_s, read_exposition(metrics.exposition()[1].decode()))

    earlier = answer(100.0)
    change(metrics)
    return Observed(name, earlier, answer(100.0 + seconds))


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.window.set(32)
    metrics.requests.labels("fast", "ok", "").inc(1000)
    metrics.requests.labels("fast", "failed", "image_not_found").inc(7)
    return metrics


def work(metrics: Metrics) -> None:
    metrics.requests.labels("fast", "ok", "").inc(90)
    metrics.requests.labels("fast", "failed", "image_not_found").inc(3)
    metrics.requests.labels("fast", "failed", "invalid_request").inc(2)
    metrics.requests.labels("fast", "expired", "expired").inc(5)
    for _ in range(99):
        metrics.request_age.observe(0.75)
    metrics.request_age.observe(7.5)
    for _ in range(10):
        metrics.stage_seconds.labels("segment").observe(0.2)
    metrics.stage_photos.labels("segment", "working").set(6)
    metrics.stage_photos.labels("segment", "waiting").set(14)
    metrics.stage_photos.labels("fetch", "working").set(2)
    metrics.in_flight.set(22)
    metrics.uncommitted.set(3)
    metrics.backlog.set(250)
    metrics.lag.labels("cutout.requests", "0").set(100)
    metrics.lag.labels("cutout.requests", "1").set(175)
    metrics.oldest_age.set(31)
    metrics.info.labels("openvino", "auto", "cpu").set(1)


def test_two_answers_make_rates_and_one_makes_counts(metrics: Metrics) -> None:
    view = view_of([observed(metrics, work)])
    assert view.rate == 10
    assert view.statuses == {"ok": 1090, "failed": 12, "expired": 5}
    assert view.codes == {"image_not_found": 10, "invalid_request": 2}
    assert (view.lag, view.drain_s, view.oldest_s) == (275, 25, 31)
    assert view.latency == (pytest.approx(0.75, abs=0.01), pytest.approx(0.98, abs=0.01), 1.0)
    assert view.unfinished == 25
    segment = view.stages[2]
    assert (segment.name, segment.waiting, segment.working, segment.seconds) == ("segment", 14, 6, pytest.approx(0.2))
    assert view.stages[3].seconds is None
    (worker,) = view.workers
    assert (worker.state, worker.well, worker.rate, worker.device, worker.lag) == ("ready", True, 10, "cpu", 275)


def test_the_first_answer_alone_has_no_rates(metrics: Metrics) -> None:
    later = observed(metrics, work).later
    view = view_of([Observed("a:1", None, later)])
    assert (view.rate, view.drain_s, view.latency) == (None, None, (None, None, None))
    assert view.statuses["ok"] == 1090


def test_a_backlog_that_nobody_works_off_stands_still_and_none_is_drained(metrics: Metrics) -> None:
    metrics.lag.labels("cutout.requests", "0").set(5)
    assert view_of([observed(metrics, lambda m: m.backlog.set(5))]).drain_s == inf
    assert view_of([observed(metrics, lambda m: m.backlog.set(0))]).drain_s == 0


def test_the_stage_with_most_photos_is_the_bottleneck_of_busy_workers_only(metrics: Metrics) -> None:
    assert view_of([observed(metrics, work)]).bottleneck == "segment"
    assert view_of([observed(metrics, lambda m: m.in_flight.set(15))]).bottleneck is None


def test_a_worker_that_was_started_again_counts_from_zero(metrics: Metrics) -> None:
    before, after = observed(metrics, work), Metrics()
    now = observed(after, lambda m: m.requests.labels("fast", "ok", "").inc(30))
    assert view_of([Observed("a:1", before.later, Scrape(120.0, now.later.exposition))]).rate == 3


def test_workers_add_up_and_one_that_is_away_is_a_row(metrics: Metrics) -> None:
    second = Metrics()
    second.window.set(32)
    view = view_of(
        [
            observed(metrics, work),
            observed(second, work, name="b:1"),
            Observed("c:1", None, Scrape(100.0, problem="away: Connection refused")),
            Observed("d:1", None, None),
        ]
    )
    assert (view.rate, view.lag, view.codes["image_not_found"]) == (20, 550, 13)
    assert [worker.away for worker in view.workers] == [False, False, True, True]
    assert view.workers[2].state == "away: Connection refused"


def test_a_worker_says_what_keeps_it_from_work(metrics: Metrics) -> None:
    def hinder(m: Metrics) -> None:
        m.ready.labels("broker").set(1)
        m.ready.labels("triton").set(0)
        m.waiting.labels("triton_unavailable").set(4)

    (worker,) = view_of([observed(metrics, hinder)]).workers
    assert (worker.well, worker.state) == (False, "not ready: triton; waits: triton_unavailable")
    (worker,) = view_of([observed(metrics, lambda m: m.halted.labels("poison_limit").set(1))]).workers
    assert worker.state == "halted: poison_limit"


def test_a_gpu_has_its_memory_beside_it(metrics: Metrics) -> None:
    def on_gpu(m: Metrics) -> None:
        m.info.labels("tensorrt", "fp16", "cuda").set(1)
        m.device_memory.labels("used").set(12.4e9)
        m.device_memory.labels("total").set(85e9)

    (worker,) = view_of([observed(metrics, on_gpu)]).workers
    assert worker.device == "cuda 12/85 GB"


def test_the_stages_are_those_of_the_pipeline_in_their_order() -> None:
    parts = MagicMock(spec=Dependencies)
    for field in fields(Dependencies):
        setattr(parts, field.name, MagicMock())
    assert tuple(stage.name for stage in build_pipeline(parts).stages) == STAGES


def test_no_worker_that_answers_makes_an_empty_view() -> None:
    view = view_of([Observed("a:1", None, None)])
    assert (view.rate, view.lag, view.bottleneck, view.codes) == (None, None, None, {})
    assert (view.waiting, view.drain_s, view.oldest_s) == (None, None, None)
    assert view.trouble == "1 of 1 worker away"


@pytest.mark.parametrize(
    "lose",
    [
        lambda m: m.ready.labels("group").set(0),
        lambda m: m.ready.labels("broker").set(0),
        lambda m: m.halted.labels("poison_limit").set(1),
        lambda m: m.lag.clear(),
    ],
    ids=["no place in the group", "broker away", "halted", "not asked yet"],
)
def test_a_worker_that_cannot_know_its_lag_has_none_rather_than_0(
    metrics: Metrics, lose: Callable[[Metrics], object]
) -> None:
    def change(m: Metrics) -> None:
        work(m)
        m.partitions.set(2)
        lose(m)

    view = view_of([observed(metrics, change)])
    assert (view.lag, view.waiting, view.retry_lag, view.drain_s, view.oldest_s) == (None,) * 5
    assert view.workers[0].lag is None
    assert view.rate == 10


def test_a_worker_without_partitions_knows_no_lag_and_adds_none_to_that_of_the_others(metrics: Metrics) -> None:
    idle = Metrics()
    idle.ready.labels("group").set(1)
    assert view_of([observed(idle, lambda m: None)]).lag is None
    assert view_of([observed(idle, lambda m: None), observed(metrics, work)]).lag == 275


def test_how_old_requests_are_is_not_known_until_one_is_fetched(metrics: Metrics) -> None:
    def only_ends(m: Metrics) -> None:
        m.lag.labels("cutout.requests", "0").set(210)
        m.backlog.set(210)

    view = view_of([observed(metrics, only_ends)])
    assert (view.lag, view.oldest_s) == (210, None)


def test_requests_on_the_retry_topic_are_told_apart(metrics: Metrics) -> None:
    def postpone(m: Metrics) -> None:
        m.lag.labels("cutout.requests", "0").set(3)
        m.lag.labels("cutout.requests.retry", "0").set(2)

    view = view_of([observed(metrics, postpone)])
    assert (view.lag, view.waiting, view.retry_lag, view.workers[0].retry_lag) == (5, 3, 2, 2)
    assert Settings().kafka.retry_topic == RETRY_TOPIC
    assert view_of([observed(metrics, postpone)], "cutout.requests").waiting == 2


def test_trouble_says_how_many_workers_do_not_work(metrics: Metrics) -> None:
    halted, hindered = Metrics(), Metrics()
    halted.halted.labels("poison_limit").set(1)
    hindered.ready.labels("triton").set(0)
    well, away = observed(metrics, work), Observed("c:1", None, Scrape(1.0, problem="away: x"))
    others = [observed(halted, lambda m: None), observed(hindered, lambda m: None)]
    assert view_of([well]).trouble == ""
    assert view_of([well, away]).trouble == "1 of 2 workers away"
    assert view_of([well, *others, away]).trouble == "1 of 4 workers away, 1 halted, 1 not ready"


@pytest.mark.parametrize(("ages", "most"), [([22.0], 22.0), ([0.1, 0.1, 26.0], 26.2), ([15.5] * 10, 20.0)])
def test_no_quantile_is_above_the_largest_age_possible(metrics: Metrics, ages: list[float], most: float) -> None:
    def answer(m: Metrics) -> None:
        for age in ages:
            m.request_age.observe(age)

    view = view_of([observed(metrics, answer)])
    assert all(age is not None and age <= most + 1e-9 for age in view.latency)


def test_names_of_a_worker_are_bounded_in_length_and_number(metrics: Metrics) -> None:
    def flood(m: Metrics) -> None:
        for number in range(200):
            m.requests.labels("fast", "failed", f"{number}" + "x" * 500).inc()
            m.waiting.labels(f"{number}" + "y" * 500).set(1)
        m.info.labels("a", "b", "z" * 500).set(1)

    view = view_of([observed(metrics, flood)])
    assert len(view.codes) == 13
    assert view.codes["…"] == 189
    assert all(len(code) <= 61 for code in view.codes)
    assert len(view.workers[0].state) < 1000
    assert len(view.workers[0].device) == 61
