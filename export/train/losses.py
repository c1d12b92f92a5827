"""What is wrong with a prediction: by region, by pixel with weight on the boundary, and by slope."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_COARSE = 0.3


def loss(levels: Sequence[Tensor], matte: Tensor) -> Tensor:
    """`levels` are logits N×1×h×w, finest first; `matte` N×1×H×W in 0..1. The coarser ones count less and are
    compared with the matte at their own size."""
    total = _level(levels[0], matte) + 0.5 * _slope(levels[0], matte)
    for logits in levels[1:]:
        total = total + _COARSE * _level(logits, F.interpolate(matte, logits.shape[-2:], mode="area"))
    return total


def _level(logits: Tensor, matte: Tensor) -> Tensor:
    """Weighted cross-entropy and soft IoU with the same weights, after F3Net (https://arxiv.org/abs/1911.11445): up to
    six times as much where the matte differs from its surroundings."""
    logits = logits.float()
    reach = max(3, logits.shape[-1] // 10 | 1)
    weight = 1 + 5 * (_blur(matte, reach) - matte).abs()
    entropy = F.binary_cross_entropy_with_logits(logits, matte, reduction="none")
    pixelwise = (weight * entropy).sum((2, 3)) / weight.sum((2, 3))
    found = logits.sigmoid()
    both = (weight * found * matte).sum((2, 3))
    either = (weight * (found + matte - found * matte)).sum((2, 3))
    return (pixelwise + 1 - (both + 1) / (either + 1)).mean()


def _blur(values: Tensor, reach: int) -> Tensor:
    """The mean of reach×reach pixels, in two passes: at once it is a fifth of the whole training's time."""
    across = F.avg_pool2d(values, (1, reach), 1, (0, reach // 2))
    return F.avg_pool2d(across, (reach, 1), 1, (reach // 2, 0))


def _slope(logits: Tensor, matte: Tensor) -> Tensor:
    """Edges as steep, and where, as the matte's: the mean difference of neighbouring pixels' differences, times 10 to
    weigh like the rest."""
    found = logits.float().sigmoid()
    total = torch.zeros((), device=found.device)
    for axis in (2, 3):
        total = total + (found.diff(dim=axis) - matte.diff(dim=axis)).abs().mean()
    return 10 * total
