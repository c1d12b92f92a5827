"""A worker's lag is the broker's truth at all times: while requests pile up and while it catches up."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from kafka import IsolationLevel, OffsetSpec
from kafka.admin import KafkaAdminClient

from cutstream.clients.kafka import Partition
from cutstream.clients.kafka.connection import connection_options, to_topic_partition
from cutstream.settings import KafkaSettings
from tests.support.group import wait_until
from tests.support.workers import WorkerProcess, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(300)]

INTERVAL_S = 2.0
"""How old the metric may be: the ends are asked for every other second."""
PATIENCE_S = 3.0
"""How late a busy machine may be with either."""
NEXT_S = 0.5
"""What happened since the truth was last seen is in the next one; a worker knows its commit before the group does."""
SAMPLE = re.compile(r'^cutstream_consumer_lag_records\{partition="(\d+)",topic="(.+)"\} (\S+)$', re.MULTILINE)


class Sight(NamedTuple):
    """The lag of each partition, seen between two moments."""

    before_s: float
    after_s: float
    lags: dict[Partition, int]


class Truth:
    """The lag that the broker knows: the ends and the committed offsets of a topic, read by an admin client."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._group = settings.group
        self._partitions = [Partition(settings.requests_topic, number) for number in range(settings.partitions)]
        self._admin = KafkaAdminClient(**connection_options(settings))

    def see(self) -> Sight:
        before_s = time.monotonic()
        wanted = {to_topic_partition(partition): OffsetSpec.LATEST for partition in self._partitions}
        ends = self._admin.list_partition_offsets(wanted, IsolationLevel.READ_UNCOMMITTED)
        committed = self._admin.list_group_offsets({self._group: list(wanted)})[self._group]
        lags = {}
        for partition in self._partitions:
            tp = to_topic_partition(partition)
            offset = committed[tp].offset if tp in committed else 0
            lags[partition] = ends[tp].offset - max(0, offset)
        return Sight(before_s, time.monotonic(), lags)

    def close(self) -> None:
        self._admin.close()


def metric(worker: WorkerProcess) -> Sight:
    before_s = time.monotonic()
    _, text = worker.get("/metrics")
    lags = {Partition(topic, int(number)): int(float(value)) for number, topic, value in SAMPLE.findall(text)}
    return Sight(before_s, time.monotonic(), lags)


@contextmanager
def observed(see, seen: list[Sight]) -> Iterator[None]:
    """See several times a second, on a thread of its own."""
    stop, errors = threading.Event(), []

    def run() -> None:
        try:
            while not stop.wait(0.15):
                seen.append(see())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert not errors, errors


def stray(told: list[Sight], truths: list[Sight]) -> list[str]:
    """Return the metrics that no truth of the interval before them explains."""
    wrong = []
    for sight in told:
        following = [truth for truth in truths if truth.before_s > sight.after_s + NEXT_S]
        last_s = following[0].before_s if following else sight.after_s + NEXT_S  # on a busy machine it comes late
        recent = [
            truth
            for truth in truths
            if truth.after_s >= sight.before_s - INTERVAL_S - PATIENCE_S and truth.before_s <= last_s
        ]
        if sight.before_s - INTERVAL_S - PATIENCE_S < truths[0].after_s or not recent:
            continue
        for partition in truths[0].lags:
            values = [truth.lags[partition] for truth in recent]
            lag = sight.lags.get(partition)
            if lag is None or not min(values) <= lag <= max(values):
                wrong.append(f"{partition} at {sight.before_s:.1f}: {lag} is not within {min(values)}..{max(values)}")
    return wrong


def test_lag_is_the_brokers_truth_under_load(settings, small_photos: list[str], tmp_path: Path) -> None:
    kafka = settings.kafka
    truth, told, truths = Truth(kafka), [], []

    def request(number: int) -> dict:
        return {"id": f"photo-{number}", "image": small_photos[number % 20]}

    with workers(settings, tmp_path) as (worker,):
        wait_until(lambda: len(metric(worker).lags) >= kafka.partitions, "a partition has no lag")
        with observed(truth.see, truths), observed(lambda: metric(worker), told):
            for first in range(0, 1500, 150):  # faster than they are worked on
                submit(kafka, map(request, range(first, first + 150)))
                time.sleep(0.5)
            time.sleep(INTERVAL_S + PATIENCE_S)  # for as long the metric has nothing to be late with
            late = {"image": small_photos[0], "deadline": "2020-01-01T00:00:00Z"}
            submit(kafka, [{"id": f"late-{n}", **late} for n in range(150)])
            wait_until(lambda: not any(truth.see().lags.values()), "not all is answered", 120)
            time.sleep(INTERVAL_S + PATIENCE_S)
    truth.close()
    assert max(sum(sight.lags.values()) for sight in told) > 300, "there was no load"
    assert not any(told[-1].lags.values())
    assert not stray(told, truths)
