"""The seeded sequence of samples.

Sample k depends only on the seed and k, so a resumed training gets the samples that would have come next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from export.train.augment import sample, use_one_thread
from export.train.photos import Collection
from export.train.recipe import Phase, TrainingRecipe


class _Samples(Dataset[tuple[Tensor, Tensor]]):
    def __init__(
        self, collections: Sequence[Collection], recipe: TrainingRecipe, phase: Phase, first: int, count: int
    ) -> None:
        self._collections, self._recipe, self._phase = collections, recipe, phase
        self._first, self._count = first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng([self._recipe.seed, self._first + index])
        pixels, matte = sample(
            self._collections,
            random,
            self._phase.size,
            composites=self._recipe.composites,
            panoramas=self._recipe.panoramas,
            empty=self._recipe.empty,
        )
        return torch.from_numpy(pixels), torch.from_numpy(matte)


def batches(
    collections: Sequence[Collection], recipe: TrainingRecipe, phase: Phase, first: int, count: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches u8 N×H×W×3 and u8 N×H×W of `count` samples, starting with sample number `first`."""
    loader = DataLoader(
        _Samples(collections, recipe, phase, first, count),
        batch_size=phase.batch,
        num_workers=workers,
        drop_last=True,
        worker_init_fn=_one_thread,
        prefetch_factor=3 if workers else None,
    )
    yield from loader


def _one_thread(worker: int) -> None:
    use_one_thread()
