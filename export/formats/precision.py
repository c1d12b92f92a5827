"""How far a served graph may be from f32, by the type that it computes in."""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.errors import ModelMismatch
from cutstream.settings import GraphPrecision
from export.repository.parity import Parity


@dataclass(frozen=True)
class Tolerance:
    """Over photos: the lowest mean IoU of the subjects, the highest mean difference of the mattes in grey levels."""

    mean_iou: float
    mean_difference: float


# fp32 only lost nodes. What cutnet reaches is in docs/exporting.md: 0.9996, 0.995 and 0.988.
TOLERANCES: dict[GraphPrecision, Tolerance] = {
    "fp32": Tolerance(mean_iou=0.999, mean_difference=0.1),
    "fp16": Tolerance(mean_iou=0.995, mean_difference=0.5),
    "bf16": Tolerance(mean_iou=0.98, mean_difference=1.5),
    "int8": Tolerance(mean_iou=0.965, mean_difference=2.5),
}


def require_close(parity: Parity, precision: GraphPrecision) -> None:
    """ModelMismatch beyond the tolerance; also where the graph gives no numbers at all."""
    allowed = TOLERANCES[precision]
    if not (parity.mean_iou >= allowed.mean_iou and parity.mean_difference <= allowed.mean_difference):
        raise ModelMismatch(
            f"in {precision} the mattes of {parity.photos} photos differ too much from f32: IoU {parity.mean_iou:.4f} "
            f"(at least {allowed.mean_iou}), mean difference {parity.mean_difference:.2f} grey levels "
            f"(at most {allowed.mean_difference}). Take another precision, or, for int8, photos that are more like "
            "those that it will see"
        )
