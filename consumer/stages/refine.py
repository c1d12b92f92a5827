from __future__ import annotations

from dataclasses import replace

from consumer.jobs import Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.matting.alpha_matting import matting, wanted_matting
from cutstream.matting.presets import parameters
from cutstream.matting.refine import refine as refine_matte


def refine(ops: ArrayOps, job: Job, value: Segmented) -> Segmented:
    """The matte at the picture's size, as `request.refine` and `request.matting` say; so is the depth."""
    with ops.errors():
        matte = refine_matte(value.matte, value.image, parameters(job.request.refine), ops)
        wanted = wanted_matting(job.request.matting)
        if wanted is not None:
            matte = matting(matte, value.image, wanted, ops)
        depth = None if value.depth is None else ops.resize_linear(value.depth, value.image.width, value.image.height)
        return replace(value, matte=matte, depth=depth)
