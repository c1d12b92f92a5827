from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Composed, Findings, Job, Refined
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import compose


@dataclass(frozen=True)
class Compose:
    """Draw the images that the request asks for, and measure the subject."""

    ops: ArrayOps

    def __call__(self, job: Job, value: Refined) -> Composed:
        spec = job.recipe.composition
        with self.ops.errors():
            made = compose(value.image, value.alpha, spec, self.ops, value.background, value.depth)
        return Composed(made.outputs, value.image, Findings(made.box, made.coverage, value.segmentation))
