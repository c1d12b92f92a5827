"""Get the network's own matte of each photo. All candidates start from the same mattes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Triton
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.matting.refine import prepare
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings
from evaluation.folder import Photo
from evaluation.tuning.photos import Sample, read_photo_and_mask


def choose_profile(profile: str | None, settings: ModelSettings) -> str:
    """Return the profile, or the default. Raises InvalidOption for `auto`, whose mattes come from several networks."""
    chosen = profile or settings.default_profile
    if chosen == AUTO:
        raise InvalidOption(
            "`auto` chooses a network for each photo, so it cannot be tuned: name the --profile to tune"
        )
    return chosen


def infer_mattes(
    photos: Sequence[Photo], profile: str, triton: Triton, ops: ArrayOps, check_stack: Callable[[], None]
) -> Iterator[Sample]:
    """Send the photos to Triton one by one, as the worker's segment stage does, and yield their mattes.

    The mask of a request would not do: it has the photo's size, so `soft` edges would start from another matte than
    they do in the worker. `check_stack` is called before each photo and may raise to stop. Raises TritonUnavailable,
    InferenceFailed or InvalidExamples.
    """
    ensemble = triton.ensemble(profile)
    for photo in photos:
        check_stack()
        pixels, _ = read_photo_and_mask(photo)
        small = ops.to_host(prepare(Image(ops.to_device(pixels)), ensemble.width, ensemble.height, ops))
        yield Sample(photo, triton.infer(ensemble, np.stack([small]))[0])
