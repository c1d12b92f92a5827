"""From recorded lines of benchmarks/results/service_times.jsonl to measured.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Tree = dict[str, Any]

_OWN = "benchmark"  # the role of the process that runs the stages alone, in place of a worker
_STAGES = ("fetch", "decode", "segment", "refine", "compose", "store")
_LOCKED_SHARE = 0.5
"""Of the worker's work in stages. With it the simulation meets the rate of one worker in the recorded runs
(docs/scaling.md)."""


def fit(lines: Sequence[Mapping[str, Any]]) -> Tree:
    """Return the tables of measured.toml: the last line of `fast` for everything, that of each profile for Triton."""
    latest = {line["profile"]: line for line in lines}
    fast = latest["fast"]
    whole = fast["whole_core_ms_by_process"]
    sizes = fast["sizes"]
    stages = {name: _line(sizes, lambda size, name=name: size["stage_core_ms"][name][_OWN]) for name in _STAGES}
    png = _line(sizes, lambda size: size["stage_core_ms"]["encode"][_OWN])
    own_ms = sum(fixed + slope * sizes[0]["megapixels"] for fixed, slope in [*stages.values(), png])
    return {
        "source": source_of("service_times", fast),
        "stages": stages,
        "decode": _line(sizes, lambda size: size["stage_core_ms"]["decode"]["decoders"]),
        "encode": {"png": png, "webp": _line(sizes, lambda size: size["webp_core_ms"])},
        "inference": {
            name: {"ms": line["whole_core_ms_by_process"]["triton"], "source": source_of("service_times", line)}
            for name, line in latest.items()
        },
        "source_bytes": _line(sizes, lambda size: size["source_bytes"], 0),
        "output_bytes": {
            name: _line(sizes, lambda size, name=name: size[f"{name}_bytes"], 0) for name in ("png", "webp")
        },
        "figures": {
            "loop_ms": round(max(1.0, whole["worker"] - own_ms), 1),
            "locked_share": _LOCKED_SHARE,
            "broker_ms": round(whole["kafka"], 1),
            "client_ms": round(whole["benchmark"], 1),
            "transaction_ms": fast["transaction_ms"],
            "request_bytes": fast["request_bytes"],
            "result_bytes": fast["result_bytes"],
            "worker_mb": fast["rss_mb"]["worker"] + fast["rss_mb"]["decoders"],
            "triton_mb": fast["rss_mb"]["triton"],
        },
    }


def source_of(benchmark: str, line: Mapping[str, Any]) -> str:
    """Name the line of a file of results, and the machine that it was measured on."""
    machine = line["machine"]
    return f"{benchmark}.jsonl, {line['time']}, commit {line['commit']}, {machine['cores']} cores of {machine['cpu']}"


def _line(sizes: Sequence[Mapping[str, Any]], of: Callable[[Mapping[str, Any]], float], digits: int = 2) -> list[float]:
    """Return the straight line of least squares through the sizes, as its value at 0 and its slope.

    Where noise gives a negative value at 0, the line goes through 0.
    """
    xs, ys = [size["megapixels"] for size in sizes], [of(size) for size in sizes]
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
