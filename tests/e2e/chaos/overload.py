"""`python -m tests.e2e.chaos.overload`: three times as many requests as a worker can handle, for some minutes.

The memory budget has to hold, the group has to stay as it is, and only the lag may grow. Requests that are too late
expire before their photos are downloaded. Afterwards the worker catches up. Exits with 1 otherwise.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

from cutstream.contract.messages import Result, decode_result
from tests.e2e.chaos.checker import check, origin_of
from tests.e2e.chaos.collect import collect_evidence, read_topic
from tests.e2e.chaos.load import Load, arguments, loaded_worker, report
from tests.e2e.chaos.progress import rate
from tests.e2e.chaos.sampling import Sampler
from tests.e2e.chaos.workload import Planned, Recipe, quiet_requests

TIMES = 3.0
DEADLINE_S = 20.0
DEADLINE_SHARE, URGENT_SHARE = 0.5, 0.05
TURN_S = 1.0
MEASURED = 600
DECODED, REBALANCES = "cutstream_decoded_bytes", "cutstream_rebalances_total"
LATE_DOWNLOADS = 0.02  # share of the expired that may have been downloaded: those that were late only in the pipeline


def main() -> int:
    parser = arguments(__doc__, "overload")
    parser.add_argument("--minutes", type=float, default=10.0)
    chosen = parser.parse_args()
    with loaded_worker(int(chosen.minutes * 60 * 300), chosen.out) as load:
        return _Overload(load).run(chosen.minutes * 60)


class _Overload:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._planned: dict[int, Planned] = {}
        self._chooser = random.Random(1)

    def run(self, seconds: float) -> int:
        load, stack = self._load, self._load.stack
        quiet = quiet_requests(stack.photos, stack.places)
        self._planned = {request.number: request for request in quiet}
        load.send_all(quiet)
        capacity = self._measure_capacity()
        with Sampler(load.worker, lambda: load.observer.done, metrics=(DECODED, REBALANCES)) as sampler:
            began = time.monotonic()
            self._send_too_much(capacity * TIMES, seconds)
            ended, backlog = time.monotonic(), load.sender.sent - load.observer.done
            stranded = load.await_results()
            caught_up_s = time.monotonic() - ended
        arrivals = load.observer.arrivals_s
        load.close()
        evidence = collect_evidence(stack, self._planned, [request.number for request in quiet])
        downloads = _downloads(stack.http.seen)
        expired = [result for result in evidence.results if result.status == "expired"]
        wasted = [result for result in expired if evidence.requests[origin_of(result)].number in downloads]
        budget = stack.settings.worker.memory_bytes
        highest = max(sample[DECODED] for sample in sampler.samples)
        rebalances = sampler.samples[-1][REBALANCES] - sampler.samples[0][REBALANCES]
        problems = [*stranded, *(f"{v.kind}: {v.detail}" for v in check(evidence))]
        if highest > budget:
            problems.append(f"{highest:.0f} bytes of decoded photos, more than the budget of {budget}")
        if rebalances:
            problems.append(f"{rebalances:.0f} rebalances")
        if not expired or len(wasted) > LATE_DOWNLOADS * len(expired):
            problems.append(f"{len(wasted)} of {len(expired)} expired requests were downloaded")
        figures = {
            "capacity_per_second": round(capacity, 1),
            "sent_per_second": round((load.sender.sent - MEASURED - len(quiet)) / (ended - began), 1),
            "results_per_second": round(rate(arrivals, began, ended), 1),
            "minutes": round((ended - began) / 60, 1),
            "requests": len(evidence.requests),
            "backlog_at_the_end": backlog,
            "caught_up_after_s": round(caught_up_s, 1),
            "expired": len(expired),
            "expired_but_downloaded": len(wasted),
            "highest_decoded_mb": round(highest / 1e6, 1),
            "budget_mb": round(budget / 1e6, 1),
            "highest_rss_mb": round(max(sample["rss_mb"] for sample in sampler.samples)),
            "rebalances": rebalances,
            "age_s": self._ages(),
        }
        return report("overload", load.out, figures, problems[:50], sampler.samples)

    def _measure_capacity(self) -> float:
        """Return the results a second while more requests wait than the worker can take."""
        load, before = self._load, self._load.observer.done
        load.send_all([self._request(deadline=False, urgent=False) for _ in range(MEASURED)])
        arrivals = load.observer.arrivals_s
        first, last = before + MEASURED // 10, before + MEASURED * 9 // 10
        return (last - first) / (arrivals[last] - arrivals[first])

    def _send_too_much(self, per_second: float, seconds: float) -> None:
        sender = self._load.sender
        sender.rate = per_second * 2  # faster than the turns below, so that nothing waits here
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            chosen = [self._chooser.random() for _ in range(round(per_second * TURN_S))]
            sender.add(
                self._request(deadline=number < DEADLINE_SHARE, urgent=number > 1 - URGENT_SHARE) for number in chosen
            )
            time.sleep(TURN_S)

    def _request(self, deadline: bool, urgent: bool) -> Planned:
        stack, number = self._load.stack, len(self._planned)
        recipe = Recipe(self._chooser.choice(stack.photos), ("cutout",))
        image = f"http://127.0.0.1:{stack.source.port}/files/{recipe.photo}?number={number}"
        fields: dict[str, object] = {"id": f"request-{number}", "image": image}
        if deadline:
            fields["deadline"] = (datetime.now(timezone.utc) + timedelta(seconds=DEADLINE_S)).isoformat()
        value = json.dumps(fields).encode()
        planned = Planned(number, "urgent" if urgent else "requests", f"request-{number}".encode(), value, recipe)
        self._planned[number] = replace(planned, may_expire=deadline)
        return self._planned[number]

    def _ages(self) -> dict[str, dict[str, float]]:
        """Return how old requests were when their results were written, by topic, of those that succeeded."""
        kafka = self._load.stack.settings.kafka
        ages: dict[str, list[float]] = {}
        for record in read_topic(kafka, kafka.results_topic):
            result: Result = decode_result(record.value)
            if result.status == "ok":
                age_s = (record.timestamp_ms - result.source.timestamp_ms) / 1000
                ages.setdefault(result.source.topic, []).append(age_s)
        return {topic: _percentiles(values) for topic, values in ages.items()}


def _downloads(paths: Iterable[str]) -> set[int]:
    queries = (parse_qs(urlsplit(path).query) for path in paths)
    return {int(query["number"][0]) for query in queries if "number" in query}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


if __name__ == "__main__":
    sys.exit(main())
