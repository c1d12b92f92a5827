"""The training loss: by region, by pixel with weight on the boundary, and by slope."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_COARSE_WEIGHT = 0.3


def loss(levels: Sequence[Tensor], matte: Tensor) -> Tensor:
    """Return the loss of logits N×1×h×w, finest first, against a matte N×1×H×W in 0..1.

    The coarser levels weigh less and are compared with the matte at their own size.
    """
    total = _level(levels[0], matte) + 0.5 * _slope(levels[0], matte)
    for logits in levels[1:]:
        total = total + _COARSE_WEIGHT * _level(logits, F.interpolate(matte, logits.shape[-2:], mode="area"))
    return total


def _level(logits: Tensor, matte: Tensor) -> Tensor:
    """Return weighted cross-entropy plus weighted soft IoU, after F3Net (https://arxiv.org/abs/1911.11445).

    The weight is up to 6 where the matte differs from its surroundings, and 1 elsewhere.
    """
    logits = logits.float()
    window = max(3, logits.shape[-1] // 10 | 1)
    weight = 1 + 5 * (_blur(matte, window) - matte).abs()
    entropy = F.binary_cross_entropy_with_logits(logits, matte, reduction="none")
    pixelwise = (weight * entropy).sum((2, 3)) / weight.sum((2, 3))
    alpha = logits.sigmoid()
    intersection = (weight * alpha * matte).sum((2, 3))
    union = (weight * (alpha + matte - alpha * matte)).sum((2, 3))
    return (pixelwise + 1 - (intersection + 1) / (union + 1)).mean()


def _blur(values: Tensor, window: int) -> Tensor:
    """Return the mean over window×window pixels, in two passes. One pass takes a fifth of the training time."""
    across = F.avg_pool2d(values, (1, window), 1, (0, window // 2))
    return F.avg_pool2d(across, (window, 1), 1, (window // 2, 0))


def _slope(logits: Tensor, matte: Tensor) -> Tensor:
    """Return the mean difference between the gradients of alpha and matte, times 10 to match the other terms."""
    alpha = logits.float().sigmoid()
    total = torch.zeros((), device=alpha.device)
    for axis in (2, 3):
        total = total + (alpha.diff(dim=axis) - matte.diff(dim=axis)).abs().mean()
    return 10 * total
