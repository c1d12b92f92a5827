"""Tolerances for the mattes of an exported graph, compared with fp32, by precision."""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.errors import ModelMismatch
from cutstream.settings import GraphPrecision
from export.formats.parity import Parity


@dataclass(frozen=True)
class Tolerance:
    """Bounds for the means over photos: IoU of the subjects at least, difference in grey levels at most."""

    mean_iou: float
    mean_difference: float


# The fp32 graph was only simplified. cutnet's IoU is 0.9996, 0.995 and 0.988 (docs/exporting.md).
TOLERANCES: dict[GraphPrecision, Tolerance] = {
    "fp32": Tolerance(mean_iou=0.999, mean_difference=0.1),
    "fp16": Tolerance(mean_iou=0.995, mean_difference=0.5),
    "bf16": Tolerance(mean_iou=0.98, mean_difference=1.5),
    "int8": Tolerance(mean_iou=0.965, mean_difference=2.5),
}


def require_within_tolerance(parity: Parity, precision: GraphPrecision) -> None:
    """Raise ModelMismatch if the difference exceeds the tolerance or is not a number."""
    allowed = TOLERANCES[precision]
    if not (parity.mean_iou >= allowed.mean_iou and parity.mean_difference <= allowed.mean_difference):
        raise ModelMismatch(
            f"in {precision} the mattes of {parity.photos} photos differ too much from fp32: IoU {parity.mean_iou:.4f} "
            f"(at least {allowed.mean_iou}), mean difference {parity.mean_difference:.2f} grey levels "
            f"(at most {allowed.mean_difference}). Choose another precision, or, for int8, photos that are closer to "
            "those that you will cut out"
        )
