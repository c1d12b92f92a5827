from __future__ import annotations

from consumer.jobs import Composed, Findings, Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import compose as compose_outputs
from cutstream.contract.messages import BoundingBox
from cutstream.contract.recipe import parse_recipe


def compose(ops: ArrayOps, job: Job, value: Segmented) -> Composed:
    """The pictures that the request asked for, and what is known of the subject."""
    with ops.errors():
        spec = parse_recipe(job.request).composition
        composition = compose_outputs(value.image, value.matte, spec, ops, job.backdrop, value.depth)
    box = BoundingBox(
        foreground_left=composition.box.left,
        foreground_top=composition.box.top,
        foreground_width=composition.box.width,
        foreground_height=composition.box.height,
    )
    findings = Findings(box, composition.coverage, value.uncertainty, value.ensemble)
    return Composed(composition.outputs, value.image, findings)
