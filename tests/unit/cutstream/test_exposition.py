from __future__ import annotations

from math import inf

import pytest

from cutstream import metrics as m
from cutstream.exposition import quantile, read_exposition
from cutstream.metrics import Metrics


def test_what_a_worker_writes_is_read_by_the_same_names() -> None:
    metrics = Metrics()
    metrics.requests.labels("fast", "ok", "").inc(3)
    metrics.requests.labels("general", "ok", "").inc(2)
    metrics.requests.labels("fast", "failed", "image_not_found").inc()
    metrics.request_age.observe(0.2)
    metrics.request_age.observe(4.0)
    metrics.ready.labels("triton").set(float("nan"))
    read = read_exposition(metrics.exposition()[1].decode())
    assert read.total(m.REQUESTS) == 6
    assert read.total(m.REQUESTS, status="ok") == 5
    assert read.by("code", m.REQUESTS, status="failed") == {"image_not_found": 1}
    assert read.total(m.REQUEST_AGE, "count") == 2
    assert {bound: count for bound, count in read.buckets(m.REQUEST_AGE).items() if bound in (0.25, 5, inf)} == {
        0.25: 1,
        5: 2,
        inf: 2,
    }
    assert read.by("check", m.READY) == {}, "a value that is no number is left out"
    assert read.total(m.LAG) == 0


@pytest.mark.parametrize("text", ["<html>", "cutstream_in_flight twelve\n", 'x{a="b" 1\n'])
def test_what_is_no_exposition_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the parser has many words for it
        read_exposition(text)


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        (0.5, {1.0: 10, 2.0: 10, inf: 10}, 0.5),
        (0.95, {1.0: 90, 2.0: 100, inf: 100}, 1.5),
        (0.99, {1.0: 0, 2.0: 1, inf: 100}, 2.0),
        (0.5, {1.0: 0, inf: 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_is_estimated_inside_of_its_bucket(share: float, buckets: dict, value: float | None) -> None:
    assert quantile(share, buckets) == value
