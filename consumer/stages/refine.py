from __future__ import annotations

from dataclasses import replace

from consumer.jobs import Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.contract.recipe import parse_recipe
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.refine import refine as refine_matte


def refine(ops: ArrayOps, job: Job, value: Segmented) -> Segmented:
    """The matte at the picture's size, as `request.refine` and `request.matting` say; so is the depth."""
    with ops.errors():
        recipe = parse_recipe(job.request)
        matte = refine_matte(value.matte, value.image, recipe.refinement, ops)
        if recipe.matting is not None:
            matte = estimate_alpha(matte, value.image, recipe.matting, ops)
        depth = None if value.depth is None else ops.resize_linear(value.depth, value.image.width, value.image.height)
        return replace(value, matte=matte, depth=depth)
