"""What a photo costs, as measured: core-milliseconds and bytes, each with the part that grows with its size."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("measured.toml")


@dataclass(frozen=True)
class Line:
    """A quantity of a photo: `fixed`, and `per_megapixel` more for each million pixels."""

    fixed: float
    per_megapixel: float

    def at(self, megapixels: float) -> float:
        return self.fixed + self.per_megapixel * megapixels


@dataclass(frozen=True)
class Measured:
    """Times are core-milliseconds per photo, sizes bytes per photo.

    `stages` are the worker's own part of each stage, in order; `encode` is there by format instead. `loop_ms` is what
    the worker does beside the stages. It and `broker_ms` hold with a backlog, where a transaction has
    `results_per_transaction`; in them are the parts of what a transaction costs whatever it holds,
    `transaction_worker_ms` and `transaction_broker_ms`. `inference_ms` is Triton's part by profile, on a CPU.
    `locked_share` is the share of the stages' work that holds the interpreter's lock, which measuring the parts does
    not show: it is fitted to the rate of one worker.
    """

    source: str
    stages: Mapping[str, Line]
    decode: Line
    encode: Mapping[str, Line]
    loop_ms: float
    locked_share: float
    inference_ms: Mapping[str, float]
    inference_source: Mapping[str, str]
    broker_ms: float
    client_ms: float
    transaction_ms: float
    results_per_transaction: float
    transaction_broker_ms: float
    transaction_worker_ms: float
    source_bytes: Line
    output_bytes: Mapping[str, Line]
    request_bytes: int
    result_bytes: int
    worker_mb: int
    triton_mb: int

    def worker_ms(self, megapixels: float, format: str) -> float:
        """Return the core-milliseconds of the worker process for a photo."""
        stages = sum(line.at(megapixels) for line in self.stages.values())
        return self.loop_ms + stages + self.encode[format].at(megapixels)

    def locked_ms(self, megapixels: float, format: str) -> float:
        """Return the part of `worker_ms` that holds the interpreter's lock."""
        return self.loop_ms + (self.worker_ms(megapixels, format) - self.loop_ms) * self.locked_share


def load() -> Measured:
    """Return what benchmarks/service_times.py measured last."""
    return parse(tomllib.loads(FILE.read_text(encoding="utf-8")))


def parse(tree: Mapping[str, Any]) -> Measured:
    """Return the figures of the tables of a measured.toml."""
    inference = tree["inference"]
    return Measured(
        source=tree["source"],
        stages={name: Line(*line) for name, line in tree["stages"].items()},
        decode=Line(*tree["decode"]),
        encode={name: Line(*line) for name, line in tree["encode"].items()},
        inference_ms={name: each["ms"] for name, each in inference.items()},
        inference_source={name: each["source"] for name, each in inference.items()},
        source_bytes=Line(*tree["source_bytes"]),
        output_bytes={name: Line(*line) for name, line in tree["output_bytes"].items()},
        **tree["figures"],
    )
