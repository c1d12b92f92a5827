"""The networks' own mattes, once for each photo: every candidate starts from the same."""

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
from evaluation.scoring.folder import Photo
from evaluation.tuning.photos import Sample, read


def chosen_profile(profile: str | None, settings: ModelSettings) -> str:
    """Raises InvalidOption for `auto`, whose mattes are of several networks."""
    chosen = profile or settings.default_profile
    if chosen == AUTO:
        raise InvalidOption("`auto` takes another network for each photo: name the --profile that is to be tuned")
    return chosen


def ask(
    photos: Sequence[Photo], profile: str, triton: Triton, ops: ArrayOps, check: Callable[[], None]
) -> Iterator[Sample]:
    """One by one, as the worker's segment stage does. `check` is called before each, and may raise to stop.

    A request's mask would be of the photo's size, where `soft` edges would start from another matte than they do in
    the worker. Raises TritonUnavailable, InferenceFailed or InvalidExamples.
    """
    ensemble = triton.ensemble(profile)
    for photo in photos:
        check()
        pixels, _ = read(photo)
        small = ops.to_host(prepare(Image(ops.to_device(pixels)), ensemble.width, ensemble.height, ops))
        yield Sample(photo, triton.infer(ensemble, np.stack([small]))[0])
