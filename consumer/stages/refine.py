from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from consumer.jobs import Job, Refined, Segmented
from consumer.resources.matting_code import MattingCode
from consumer.resources.priority_semaphore import Order
from cutstream.arrays.ops import ArrayOps
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.refine import refine


@dataclass(frozen=True)
class Refine:
    """Bring the matte, and the depth, to the image's size as the recipe's refinement and matting say."""

    ops: ArrayOps
    matting_code: MattingCode

    def admission(self, job: Job, order: Order, give_up: Callable[[], None]) -> AbstractContextManager[None]:
        """Raise MattingNotReady while the code that a job needs is being compiled.

        A stage asks before it reserves memory for the photo's pixels: others must not wait for them meanwhile.
        """
        matting = job.recipe.matting
        if matting is not None and matting.is_exact:
            self.matting_code.require()
        return nullcontext()

    def __call__(self, job: Job, value: Segmented) -> Refined:
        image, ops, recipe = value.image, self.ops, job.recipe
        with ops.errors():
            alpha = refine(value.matte, image, recipe.refinement, ops)
            if recipe.matting is not None:
                alpha = estimate_alpha(alpha, image, recipe.matting, ops)
            depth = None if value.depth is None else ops.resize_linear(value.depth, image.width, image.height)
            return Refined(image, alpha, value.segmentation, depth, value.background)
