"""Deep Image Matting (N. Xu et al., CVPR 2017, arXiv 1703.03872): VGG-16, a decoder that unpools, a refinement.

Checkpoint: the state dict of a training with these modules; the authors published none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pixel_shuffle

from export.networks import load_checkpoint, variant_of


@dataclass(frozen=True)
class Size:
    """The numbers of layers and channels. The decoder's are listed from the coarsest level."""

    encoder: Sequence[tuple[int, int]]  # convolutions and channels of each stage
    deepest: int
    decoder: Sequence[int]
    refinement: int


VARIANTS = {
    "vgg16": Size(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 4096, (512, 512, 256, 128, 64, 64), 64),
    "tiny": Size(((1, 8), (1, 8), (1, 8), (1, 8), (1, 8)), 16, (8, 8, 8, 8, 8, 8), 8),
}


class DeepMatting(nn.Module):
    """f32 N×4×H×W, the image in -1..1 and the trimap in 0..1, sides multiples of 32 → alpha N×1×H×W.

    The refined alpha may lie slightly outside 0..1; the glue clamps it.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        channels = 4
        self.encoder = nn.ModuleList()
        for count, out in size.encoder:
            self.encoder.append(nn.Sequential(*_layers(channels, [out] * count, 3)))
            channels = out
        self.deepest = nn.Sequential(*_layers(channels, [size.deepest], 7))
        first, *others = size.decoder
        self.narrow = nn.Sequential(*_layers(size.deepest, [first], 1))
        self.decoder = nn.ModuleList()
        for before, out in zip(size.decoder, others, strict=False):
            self.decoder.append(nn.Sequential(*_layers(before, [out], 5)))
        self.alpha = nn.Conv2d(others[-1], 1, 5, padding=2)
        self.refine = nn.Sequential(*_layers(4, [size.refinement] * 3, 3), nn.Conv2d(size.refinement, 1, 3, padding=1))

    def forward(self, normalised: Tensor) -> Tensor:
        x, places = normalised, []
        for stage in self.encoder:
            x = stage(x)
            places.append(positions_of_maxima(x))
            x = max_pool2d(x, 2)
        x = self.narrow(self.deepest(x))
        for stage, place in zip(self.decoder, reversed(places), strict=True):
            x = stage(unpool(x, place))
        raw = torch.sigmoid(self.alpha(x))
        return raw + self.refine(torch.cat([normalised[:, :3], raw], 1))


def positions_of_maxima(x: Tensor) -> Tensor:
    """Mark the maximum of each 2×2 window, the first one among equals: f32 N×C×H×W → N×C×4×H/2×W/2 of 0 and 1.

    ONNX has the indices of max-pooling, but no engine runs MaxUnpool, so unpooling is a product with these masks.
    """
    windows = [x[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
    largest = torch.stack(windows).amax(dim=0)
    free = torch.ones_like(largest)
    places = []
    for window in windows:
        places.append(free * (window == largest).to(x.dtype))
        free = free - places[-1]
    return torch.stack(places, 2)


def unpool(x: Tensor, places: Tensor) -> Tensor:
    """Undo max-pooling: f32 N×C×H×W → N×C×2H×2W, each value at its position and 0 elsewhere."""
    return pixel_shuffle((x[:, :, None] * places).flatten(1, 2), 2)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(DeepMatting(variant_of(VARIANTS, variant)), checkpoint)


def _layers(channels: int, outs: Sequence[int], kernel: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for out in outs:
        layers += [nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.ReLU()]
        channels = out
    return layers
