"""`python -m tests.e2e.chaos.soak`: many requests through one worker, whose memory, descriptors, threads and children
must stay flat. Then, under load, the worker gets SIGTERM and another one takes over. Exits with 1 if something grows,
if the worker does not end in time, or if a request has not its one right result.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.ending import run
from tests.e2e.chaos.checker import check
from tests.e2e.chaos.collect import collect_evidence
from tests.e2e.chaos.judgement import Drained, judge_drain
from tests.e2e.chaos.load import STALL_S, Load, arguments, loaded_worker, report
from tests.e2e.chaos.sampling import Figures, Sampler, enough, grown, growth, warm
from tests.e2e.chaos.workload import Planned, chaos_requests, quiet_requests

# Most growth per 10,000 requests after the warm-up. A leak of one kilobyte a request is 10 MB.
BOUNDS: Mapping[str, float] = {"uss_mb": 10, "children_uss_mb": 10, "descriptors": 2, "threads": 1, "children": 0.5}
LAST, BEFORE_SIGTERM = 600, 100  # requests of the phase with SIGTERM, and results before it comes
END_S = 15.0  # beyond the drain time: a worker that hangs kills itself 10 s after it


def main() -> int:
    parser = arguments(__doc__, "soak")
    parser.add_argument("--requests", type=int, default=20_000)
    chosen = parser.parse_args()
    with loaded_worker("soak", chosen.requests + LAST, chosen.out.absolute()) as load:
        return soak(load, chosen.requests)


def soak(load: Load, count: int) -> int:
    stack = load.stack
    quiet = quiet_requests(stack.photos, stack.places)
    requests = chaos_requests(count + LAST, 1, stack.photos, stack.places, len(quiet))
    problems = load.send_all(quiet)
    began = time.monotonic()
    with Sampler(load.worker, lambda: load.observer.done) as sampler:
        problems += load.send_all(requests[:count])
    seconds = time.monotonic() - began
    spent = load.meter.read()  # before the worker ends
    problems += [*sampler.judge_missed(), *grown(sampler.samples, BOUNDS)]
    drain = _drain(load, requests[count:], problems)
    load.close()
    planned = {request.number: request for request in (*quiet, *requests)}
    evidence = collect_evidence(stack, planned, [request.number for request in quiet])
    problems += [f"{violation.kind}: {violation.detail}" for violation in check(evidence)]
    figures = {
        "requests": count,
        "results": len(evidence.results),
        "objects": sum(len(result.objects) for result in evidence.results),
        "seconds": round(seconds),
        "requests_per_second": round(count / seconds, 1),
        "bounds_per_10000": dict(BOUNDS),
        **_flatness(sampler),
        "drain": drain,
    }
    return report("soak", load, spent, figures, problems, sampler.samples)


def _flatness(sampler: Sampler) -> dict[str, Any]:
    samples = warm(sampler.samples)
    figures: dict[str, Any] = {"samples": len(sampler.samples), "samples_missed": sampler.missed}
    if not enough(sampler.samples):
        return figures
    slopes = {name: growth(sampler.samples, name) for name in BOUNDS}
    return figures | {
        "growth_per_10000": {name: round(grows.slope, 2) for name, grows in slopes.items()},
        "error_per_10000": {name: round(grows.error, 2) for name, grows in slopes.items()},
        "first": _rounded(samples[0]),
        "last": _rounded(samples[-1]),
        "highest": _rounded({name: max(sample[name] for sample in sampler.samples) for name in ("rss_mb", *BOUNDS)}),
    }


def _rounded(figures: Figures) -> Figures:
    return {name: round(value, 1) for name, value in figures.items() if name != "at_s"}


def _drain(load: Load, requests: list[Planned], problems: list[str]) -> dict[str, Any]:
    """Send SIGTERM under load, let another worker do the rest, and add what is wrong to the problems."""
    if (code := load.worker.process.poll()) is not None:
        problems.append(f"the worker ended with {code} before SIGTERM")
        return {}
    limit_s = load.stack.settings.worker.drain_timeout_s
    enough = load.observer.done + BEFORE_SIGTERM
    load.sender.add(requests)
    if not load.observer.wait(lambda: load.observer.done >= enough, STALL_S):
        problems.append(f"fewer than {BEFORE_SIGTERM} results in {STALL_S:g} s before SIGTERM")
    began = time.monotonic()
    try:
        code = load.worker.terminate(limit_s + END_S)
    except subprocess.TimeoutExpired:
        code = None
        load.worker.kill()
    drained = Drained(code, time.monotonic() - began, limit_s, load.backlog)
    load.worker = load.stack.start_worker("worker-1").wait_ready()
    problems += load.await_results()
    problems += judge_drain(drained)
    return asdict(drained) | {"seconds": round(drained.seconds, 1)}


if __name__ == "__main__":
    sys.exit(run(main))
