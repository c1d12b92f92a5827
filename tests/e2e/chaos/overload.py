"""`python -m tests.e2e.chaos.overload`: three times as many requests as a worker can handle, for some minutes.

Memory has to stay within its budget, the group as it is, and only the lag may grow. Requests that are too late expire
before their photos are downloaded, and urgent ones do not wait. Afterwards the worker catches up. Exits with 1
otherwise.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from benchmarks.ending import run
from cutstream.contract.messages import decode_result
from tests.e2e.chaos.checker import Evidence, check, origin_of
from tests.e2e.chaos.collect import collect_evidence, read_topic
from tests.e2e.chaos.judgement import Overloaded, ages, judge
from tests.e2e.chaos.load import Load, arguments, loaded_worker, report
from tests.e2e.chaos.progress import rate
from tests.e2e.chaos.sampling import Figures, Sampler, measure
from tests.e2e.chaos.workload import Planned, Recipe, quiet_requests

TIMES = 3.0
DEADLINE_S = 20.0
DEADLINE_SHARE, URGENT_SHARE = 0.5, 0.05
TURN_S = 1.0
LATE_S = 1.0  # after its deadline, within which a download that began before it may still arrive at the source
MEASURED = 1000
MOST_PER_SECOND = 300  # only to choose the size of the disk
DECODED, REBALANCES = "cutstream_decoded_bytes", "cutstream_rebalances_total"
# Ten such photos fill the budget, and the window has room for 32: it is the budget that holds photos back.
PHOTO, BUDGET_BYTES = (640, 480), 50_000_000


def main() -> int:
    parser = arguments(__doc__, "overload")
    parser.add_argument("--minutes", type=float, default=10.0)
    chosen = parser.parse_args()
    most = int(chosen.minutes * 60 * MOST_PER_SECOND)
    with loaded_worker("overload", most, chosen.out.absolute(), PHOTO, BUDGET_BYTES) as load:
        return _Overload(load).run(chosen.minutes * 60)


class _Overload:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._planned: dict[int, Planned] = {}
        self._deadlines_s: dict[int, float] = {}
        self._chooser = random.Random(1)

    def run(self, seconds: float) -> int:
        load, stack = self._load, self._load.stack
        quiet = quiet_requests(stack.photos, stack.places)
        self._planned = {request.number: request for request in quiet}
        if problems := load.send_all(quiet):
            raise SystemExit(f"the run without load failed: {problems[0]}")
        rest = measure(psutil.Process(load.worker.process.pid))
        capacity = self._measure_capacity()
        first, assignments = len(self._planned), load.worker.metric(REBALANCES)
        with Sampler(load.worker, lambda: load.observer.done, metrics=(DECODED, REBALANCES)) as sampler:
            began = time.monotonic()
            self._send_too_much(capacity * TIMES, seconds)
            ended, sent, backlog = time.monotonic(), load.sender.sent - first, load.backlog
            problems = load.await_results()
            caught_up_s = time.monotonic() - ended
        spent = load.meter.read()
        arrivals, finished = load.observer.arrivals_s, load.observer.finished_s
        load.close()
        evidence = collect_evidence(stack, self._planned, [request.number for request in quiet])
        samples = sampler.samples
        seen = Overloaded(
            capacity_per_second=round(capacity, 1),
            sent_per_second=round(sent / (ended - began), 1),
            results_per_second=round(rate(arrivals, began, ended), 1),
            finished_per_second=round(rate(finished, began, ended), 1),
            backlog_at_the_end=backlog,
            caught_up_after_s=round(caught_up_s, 1),
            budget_mb=BUDGET_BYTES / 1e6,
            reserved_mb=_highest(samples, DECODED) / 1e6,
            memory_at_rest_mb=round(_memory_mb(rest), 1),
            highest_memory_mb=round(max(map(_memory_mb, samples), default=0.0), 1),
            samples=len(samples),
            assignments=assignments,
            rebalances=_highest(samples, REBALANCES) - assignments,
            **self._deadlines_and_order(evidence, first),
        )
        problems += [*sampler.judge_missed(), *judge(seen)]
        problems += [f"{violation.kind}: {violation.detail}" for violation in check(evidence)]
        figures = {
            "minutes": round((ended - began) / 60, 1),
            "requests": len(evidence.requests),
            **asdict(seen),
            "samples_missed": sampler.missed,
        }
        return report("overload", load, spent, figures, problems, samples)

    def _measure_capacity(self) -> float:
        """Return the results a second while more requests wait than the worker can take."""
        load, before = self._load, self._load.observer.done
        if problems := load.send_all([self._request(deadline=False, urgent=False) for _ in range(MEASURED)]):
            raise SystemExit(f"the capacity cannot be measured: {problems[0]}")
        arrivals = load.observer.arrivals_s
        first, last = before + MEASURED // 10, before + MEASURED * 9 // 10
        return (last - first) / (arrivals[last] - arrivals[first])

    def _send_too_much(self, per_second: float, seconds: float) -> None:
        sender, began = self._load.sender, time.monotonic()
        sender.rate = per_second * 2  # faster than the turns below, so that nothing waits here
        for turn in range(round(seconds / TURN_S)):
            chosen = [self._chooser.random() for _ in range(round(per_second * TURN_S))]
            sender.add(
                self._request(deadline=number < DEADLINE_SHARE, urgent=number > 1 - URGENT_SHARE) for number in chosen
            )
            time.sleep(max(0.0, began + (turn + 1) * TURN_S - time.monotonic()))

    def _request(self, deadline: bool, urgent: bool) -> Planned:
        stack, number = self._load.stack, len(self._planned)
        recipe = Recipe(self._chooser.choice(stack.photos), ("mask",))  # the smallest object
        image = f"http://127.0.0.1:{stack.source.port}/files/{recipe.photo}?number={number}"
        fields: dict[str, Any] = {"id": f"request-{number}", "image": image, "outputs": recipe.outputs}
        if deadline:
            ends = datetime.now(timezone.utc) + timedelta(seconds=DEADLINE_S)
            fields["deadline"] = ends.isoformat(timespec="milliseconds")
            self._deadlines_s[number] = datetime.fromisoformat(fields["deadline"]).timestamp()
        value = json.dumps(fields).encode()
        planned = Planned(number, "urgent" if urgent else "requests", f"request-{number}".encode(), value, recipe)
        self._planned[number] = replace(planned, may_expire=deadline)
        return self._planned[number]

    def _deadlines_and_order(self, evidence: Evidence, first: int) -> dict[str, Any]:
        """Return what became of the requests from number `first` on, as figures of `Overloaded`."""
        kafka = self._load.stack.settings.kafka
        downloaded_s = _downloads(self._load.stack.http.last_s)
        expired: list[int] = []
        early = 0
        waited: dict[str, list[float]] = {kafka.urgent_topic: [], kafka.requests_topic: []}
        for record in read_topic(kafka, kafka.results_topic):
            result = decode_result(record.value)
            planned = evidence.requests.get(origin_of(result))
            if planned is None:  # the checker says so
                continue
            number = planned.number
            if result.status == "expired":
                expired.append(number)
                early += record.timestamp_ms / 1e3 < self._deadlines_s.get(number, math.inf)
            elif result.status == "ok" and number >= first and number not in self._deadlines_s:
                waited[result.source.topic].append((record.timestamp_ms - result.source.timestamp_ms) / 1e3)
        return {
            "expired": len(expired),
            "expired_early": early,
            "expired_but_downloaded": sum(number in downloaded_s for number in expired),
            "downloaded": len(downloaded_s.keys() & self._deadlines_s.keys()),
            "downloaded_late": late_downloads(downloaded_s, self._deadlines_s),
            "urgent": ages(waited[kafka.urgent_topic]),
            "others": ages(waited[kafka.requests_topic]),
        }


def _downloads(last_s: Mapping[str, float]) -> dict[int, float]:
    """Return when each request's photo was asked for last."""
    queries = ((parse_qs(urlsplit(path).query), at_s) for path, at_s in last_s.items())
    return {int(query["number"][0]): at_s for query, at_s in queries if "number" in query}


def late_downloads(downloaded_s: Mapping[int, float], deadlines_s: Mapping[int, float]) -> int:
    """Count the requests whose photo was asked for after their deadline, whatever they ended as."""
    return sum(downloaded_s.get(number, 0.0) > deadline_s + LATE_S for number, deadline_s in deadlines_s.items())


def _memory_mb(figures: Figures) -> float:
    return figures["uss_mb"] + figures["children_uss_mb"]


def _highest(samples: list[Figures], name: str) -> float:
    return max((sample[name] for sample in samples), default=0.0)


if __name__ == "__main__":
    sys.exit(run(main))
