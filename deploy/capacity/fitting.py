"""From recorded lines of benchmarks/results/service_times.jsonl to measured.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

Tree = dict[str, Any]

_OWN = "benchmark"  # the role of the process that runs the stages alone, in place of a worker
_STAGES = ("fetch", "decode", "segment", "refine", "compose", "store")
_LOCKED_SHARE = 0.5
"""Of the worker's work in stages, where a line does not say: with it the simulation meets the rate of one worker in the
throughput runs that are recorded (docs/scaling.md)."""


def fit(lines: Sequence[Mapping[str, Any]], throughput: Sequence[Mapping[str, Any]] = ()) -> Tree:
    """Return the tables of measured.toml: the last line of `fast` for everything, that of each profile for Triton.

    What Triton needs for other profiles is taken from the lines of throughput.jsonl, if it is there.
    """
    latest = {line["profile"]: line for line in lines}
    fast = latest["fast"]
    whole, sizes = fast["whole_core_ms_by_process"], fast["sizes"]
    megapixels = [size["megapixels"] for size in sizes]
    line = partial(_line, megapixels)
    stages = {name: line([size["stage_core_ms"][name][_OWN] for size in sizes]) for name in _STAGES}
    png = line([size["stage_core_ms"]["encode"][_OWN] for size in sizes])
    own_ms = sum(fixed + slope * megapixels[0] for fixed, slope in [*stages.values(), png])
    return {
        "source": source_of("service_times", fast),
        "stages": stages,
        "decode": line([size["stage_core_ms"]["decode"]["decoders"] for size in sizes]),
        "encode": {"png": png, "webp": line([size["webp_core_ms"] for size in sizes])},
        "inference": _inference(("throughput", throughput), ("service_times", lines)),
        "source_bytes": line([size["source_bytes"] for size in sizes], 0),
        "output_bytes": {name: line([size[f"{name}_bytes"] for size in sizes], 0) for name in ("png", "webp")},
        "figures": {
            "loop_ms": round(max(1.0, whole["worker"] - own_ms), 1),
            "locked_share": fast.get("locked_share") or _LOCKED_SHARE,
            "broker_ms": round(whole["kafka"], 1),
            "client_ms": round(whole["benchmark"], 1),
            "transaction_ms": fast["transaction_ms"],
            "results_per_transaction": fast["results_per_transaction"],
            "transaction_broker_ms": _of_a_transaction(fast, "kafka"),
            "transaction_worker_ms": _of_a_transaction(fast, "worker"),
            "request_bytes": fast["request_bytes"],
            "result_bytes": fast["result_bytes"],
            "worker_mb": fast["rss_mb"]["worker"] + fast["rss_mb"]["decoders"],
            "triton_mb": fast["rss_mb"]["triton"],
        },
    }


def _inference(*recorded: tuple[str, Sequence[Mapping[str, Any]]]) -> Tree:
    """Return what Triton needs for each profile, by the last line about it."""
    return {
        line["profile"]: {"ms": line["whole_core_ms_by_process"]["triton"], "source": source_of(benchmark, line)}
        for benchmark, lines in recorded
        for line in lines
    }


def _of_a_transaction(line: Mapping[str, Any], role: str) -> float:
    """Return what a process needs for a transaction, whatever the number of its results.

    With a backlog, a transaction has several results; in the calm run about one, and a photo costs more for it. 0 for a
    line from before that was measured.
    """
    if "calm_core_ms_by_process" not in line:
        return 0.0
    more_ms = line["calm_core_ms_by_process"][role] - line["whole_core_ms_by_process"][role]
    more_transactions = 1 / line["calm_results_per_transaction"] - 1 / line["results_per_transaction"]
    return round(max(0.0, more_ms / more_transactions), 2) if more_transactions > 0 else 0.0


def source_of(benchmark: str, line: Mapping[str, Any]) -> str:
    """Name the line of a file of results, the machine, and what disturbed it."""
    machine, others = line["machine"], line.get("others_share_of_machine", 0.0)
    where = f"{machine['cores']} cores of {machine['cpu']}"
    disturbed = f", while other programs took {others:.0%} of the machine" if others > 0.05 else ""
    return f"{benchmark}.jsonl, {line['time']}, commit {line['commit']}, {where}{disturbed}"


def _line(xs: Sequence[float], ys: Sequence[float], digits: int = 2) -> list[float]:
    """Return the straight line of least squares through the sizes, as its value at 0 and its slope.

    Where noise gives a negative value at 0, the line goes through 0.
    """
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)
    fixed = mean_y - slope * mean_x
    if fixed < 0:
        fixed, slope = 0.0, sum(x * y for x, y in zip(xs, ys, strict=True)) / sum(x * x for x in xs)
    return [round(fixed, digits), round(max(0.0, slope), digits)]


def as_toml(tree: Mapping[str, Any]) -> str:
    """Write the tables as TOML, plain values first."""
    head = "# Written by `python -m benchmarks.service_times` from benchmarks/results/. Do not edit.\n"
    head += "# Pairs are a value at 0 megapixels and what each megapixel adds: core-milliseconds, or bytes.\n"
    return head + _table((), tree)


def _table(path: tuple[str, ...], tree: Mapping[str, Any]) -> str:
    plain = "".join(f"{name} = {_value(value)}\n" for name, value in tree.items() if not isinstance(value, Mapping))
    title = f"\n[{'.'.join(path)}]\n" if path and plain else ""
    tables = (_table((*path, name), value) for name, value in tree.items() if isinstance(value, Mapping))
    return title + plain + "".join(tables)


def _value(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
