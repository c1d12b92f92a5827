"""`python -m tests.e2e.chaos.soak`: many requests through one worker, whose memory, descriptors, threads and children
must stay flat. Exits with 1 if one of them grows, or if a request has not its one right result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from tests.e2e.chaos.checker import check
from tests.e2e.chaos.collect import collect_evidence
from tests.e2e.chaos.load import Load, arguments, loaded_worker, report
from tests.e2e.chaos.sampling import Sampler, exceeded, growth
from tests.e2e.chaos.workload import chaos_requests, quiet_requests

# Most growth per 10,000 requests, by linear fit after the warm-up. A leak of one kilobyte a request is 10 MB.
BOUNDS: Mapping[str, float] = {
    "rss_mb": 10,
    "pss_mb": 10,
    "children_pss_mb": 10,
    "descriptors": 2,
    "threads": 1,
    "children": 0.5,
}


def main() -> int:
    parser = arguments(__doc__, "soak")
    parser.add_argument("--requests", type=int, default=20_000)
    chosen = parser.parse_args()
    with loaded_worker(chosen.requests, chosen.out) as load:
        return soak(load, chosen.requests)


def soak(load: Load, count: int) -> int:
    stack = load.stack
    quiet = quiet_requests(stack.photos, stack.places)
    requests = chaos_requests(count, 1, stack.photos, stack.places, len(quiet))
    load.send_all(quiet)
    began = time.monotonic()
    with Sampler(load.worker, lambda: load.observer.done) as sampler:
        stranded = load.send_all(requests)
    seconds = time.monotonic() - began
    load.close()
    planned = {request.number: request for request in (*quiet, *requests)}
    violations = check(collect_evidence(stack, planned, [request.number for request in quiet]))
    problems = [*stranded, *exceeded(sampler.samples, BOUNDS), *(f"{v.kind}: {v.detail}" for v in violations)]
    figures = {
        "requests": count,
        "seconds": round(seconds),
        "requests_per_second": round(count / seconds, 1),
        "growth_per_10000": {name: round(growth(sampler.samples, name), 2) for name in BOUNDS},
        "bounds_per_10000": dict(BOUNDS),
        "first": sampler.samples[len(sampler.samples) // 4],
        "last": sampler.samples[-1],
        "highest": {name: max(sample[name] for sample in sampler.samples) for name in BOUNDS},
    }
    return report("soak", load.out, figures, problems, sampler.samples)


if __name__ == "__main__":
    sys.exit(main())
