"""How many replicas KEDA and Kubernetes make of the chart's ScaledObject and of metrics.

It is what they compute, without their time: no policy that limits how fast the number changes, no cooldown. A
simulation that has a clock adds these. Kubernetes' tolerance of 10 % is left out as well, so the result is what they
tend to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any


@dataclass(frozen=True)
class Trigger:
    """One trigger: replicas are its metric, divided by `threshold` and rounded up.

    Above `activation` there is at least one replica. `query` is in PromQL, and empty for the lag of a topic.
    """

    name: str
    threshold: float
    activation: float
    topic: str = ""
    query: str = ""

    def replicas(self, value: float, partitions: int) -> int:
        """Return the replicas for this value. For a lag they are never more than the topic has partitions."""
        if self.topic and value // self.threshold > partitions:
            return partitions
        return ceil(value / self.threshold)


@dataclass(frozen=True)
class Autoscaler:
    """Reads the chart's ScaledObject. `fewest` may be 0."""

    fewest: int
    most: int
    triggers: tuple[Trigger, ...]

    @staticmethod
    def of(scaled_object: Mapping[str, Any]) -> Autoscaler:
        """Return the autoscaler of a ScaledObject as `helm template` writes it, parsed from YAML."""
        spec = scaled_object["spec"]
        return Autoscaler(spec["minReplicaCount"], spec["maxReplicaCount"], tuple(map(_trigger, spec["triggers"])))

    def replicas(self, values: Mapping[str, float], partitions: int) -> int:
        """Return the replicas for the triggers' values by name. A trigger without a value counts as 0.

        Raises KeyError for the name of a trigger that does not exist.
        """
        by_name = {trigger.name: trigger for trigger in self.triggers}
        known = {by_name[name]: value for name, value in values.items()}
        if self.fewest == 0 and not any(value > trigger.activation for trigger, value in known.items()):
            return 0
        wanted = max((trigger.replicas(value, partitions) for trigger, value in known.items()), default=0)
        return min(max(wanted, self.fewest, 1), self.most)


def _trigger(trigger: Mapping[str, Any]) -> Trigger:
    name, metadata = trigger["name"], trigger["metadata"]
    if trigger["type"] == "kafka":
        threshold, activation = metadata["lagThreshold"], metadata["activationLagThreshold"]
        return Trigger(name, float(threshold), float(activation), topic=metadata["topic"])
    return Trigger(name, float(metadata["threshold"]), float(metadata["activationThreshold"]), query=metadata["query"])
