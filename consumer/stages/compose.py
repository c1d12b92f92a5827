from __future__ import annotations

from consumer.jobs import Composed, Findings, Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import compose as compose_outputs


def compose(ops: ArrayOps, job: Job, value: Segmented) -> Composed:
    """The pictures that the request asked for, and what is known of the subject."""
    with ops.errors():
        composition = compose_outputs(value.image, value.matte, job.request, ops, job.backdrop, value.depth)
    findings = Findings(composition.bbox, composition.coverage, value.uncertainty, value.ensemble)
    return Composed(composition.outputs, value.image, findings)
