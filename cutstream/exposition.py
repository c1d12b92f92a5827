"""Read what a worker answers at /metrics: the other direction of metrics.py, whose table names the metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from cutstream.metrics import Definition


@dataclass(frozen=True)
class Exposition:
    """The series of one answer, by their names: labels and values. Those without a finite value are left out."""

    series: Mapping[str, list[tuple[Mapping[str, str], float]]]

    def total(self, metric: Definition, part: str = "", **labels: str) -> float:
        """Return the sum of a metric's series with these labels, 0 without one. `part` is a histogram's `sum`, say."""
        return sum(value for _, value in self.select(metric, part, **labels))

    def by(self, label: str, metric: Definition, part: str = "", **labels: str) -> dict[str, float]:
        """Return the sums of a metric's series with these labels for each value of another label."""
        sums: dict[str, float] = defaultdict(float)
        for found, value in self.select(metric, part, **labels):
            sums[found.get(label, "")] += value
        return dict(sums)

    def buckets(self, metric: Definition) -> dict[float, float]:
        """Return a histogram's counts, each with those of all smaller bounds, by the bound."""
        return {float(bound): count for bound, count in self.by("le", metric, "bucket").items()}

    def select(self, metric: Definition, part: str = "", **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        for found, value in self.series.get(f"{metric.name}_{part}" if part else metric.name, ()):
            if all(found.get(name) == wanted for name, wanted in labels.items()):
                yield found, value


def read_exposition(text: str) -> Exposition:
    """Read Prometheus's text format. Raises ValueError if it is none."""
    return _exposition(text_string_to_metric_families(text))


def read_registry(registry: CollectorRegistry) -> Exposition:
    """Return what `read_exposition` would read of this process's own metrics, without writing them as text."""
    return _exposition(registry.collect())


def _exposition(families: Iterable[Metric]) -> Exposition:
    series: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for family in families:
        for sample in family.samples:
            if isfinite(sample.value):
                series[sample.name].append((sample.labels, sample.value))
    return Exposition(dict(series))


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """Return the value below which this share of the observations lies, as Prometheus estimates it. None without any.

    Inside a bucket they count as evenly spread. Beyond the last bound it is that bound.
    """
    total = buckets.get(inf, 0.0)
    if total <= 0:
        return None
    lower, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= share * total:
            return (
                lower
                if bound == inf or count == below
                else lower + (bound - lower) * (share * total - below) / (count - below)
            )
        lower, below = bound, count
    return lower
