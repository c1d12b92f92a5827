"""U²-Net and U²-Net-P (X. Qin et al., Pattern Recognition 2020, arXiv 2005.09007).

The state dict has the authors' names, so their `u2net.pth` and `u2netp.pth` (Apache-2.0) load unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from export.networks import load_checkpoint, variant_of

# One stage: the depth of its own U (0 for the dilated one), and its input, inner and output channels.
Stage = tuple[int, int, int, int]
ENCODER: dict[str, list[Stage]] = {
    "full": [
        *((7, 3, 32, 64), (6, 64, 32, 128), (5, 128, 64, 256), (4, 256, 128, 512)),
        *((0, 512, 256, 512), (0, 512, 256, 512)),
    ],
    "small": [(7, 3, 16, 64), (6, 64, 16, 64), (5, 64, 16, 64), (4, 64, 16, 64), (0, 64, 16, 64), (0, 64, 16, 64)],
    "tiny": [(7, 3, 4, 8), (6, 8, 4, 8), (5, 8, 4, 8), (4, 8, 4, 8), (0, 8, 4, 8), (0, 8, 4, 8)],
}
# The decoder's stages 1 to 5. Their input is the output of two stages.
DECODER: dict[str, list[Stage]] = {
    "full": [(7, 128, 16, 64), (6, 256, 32, 64), (5, 512, 64, 128), (4, 1024, 128, 256), (0, 1024, 256, 512)],
    "small": [(7, 128, 16, 64), (6, 128, 16, 64), (5, 128, 16, 64), (4, 128, 16, 64), (0, 128, 16, 64)],
    "tiny": [(7, 16, 4, 8), (6, 16, 4, 8), (5, 16, 4, 8), (4, 16, 4, 8), (0, 16, 4, 8)],
}
DILATIONS = (1, 2, 4)


class Block(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn_s1(self.conv_s1(x)))


class ResidualU(nn.Module):
    """A residual block that contains a U-Net.

    A block of depth d pools d - 2 times. Depth 0 keeps the size and uses dilation instead of pooling.
    """

    def __init__(self, depth: int, channels: int, between: int, out: int) -> None:
        super().__init__()
        self._pooled = depth > 0
        levels = depth or 4
        dilations = [1] * (levels - 1) + [2] if self._pooled else [*DILATIONS, 8]
        self.rebnconvin = Block(channels, out)
        for level, dilation in enumerate(dilations, 1):
            setattr(self, f"rebnconv{level}", Block(out if level == 1 else between, between, dilation))
        for level in range(levels - 1, 0, -1):
            narrow = out if level == 1 else between
            setattr(self, f"rebnconv{level}d", Block(2 * between, narrow, dilations[level - 1]))
        self._levels = levels

    def forward(self, x: Tensor) -> Tensor:
        start = self.rebnconvin(x)
        down = [self._down(1)(start)]
        for level in range(2, self._levels + 1):
            # The lowest level has the size of the level above.
            halved = _pool(down[-1]) if self._pooled and level < self._levels else down[-1]
            down.append(self._down(level)(halved))
        up = down[-1]
        for level in range(self._levels - 1, 0, -1):
            up = getattr(self, f"rebnconv{level}d")(torch.cat([_resize_like(up, down[level - 1]), down[level - 1]], 1))
        return up + start

    def _down(self, level: int) -> nn.Module:
        block: nn.Module = getattr(self, f"rebnconv{level}")
        return block


class U2net(nn.Module):
    """f32 N×3×H×W → saliency N×1×H×W in 0..1, the map fused from six side outputs."""

    def __init__(self, encoder: Sequence[Stage], decoder: Sequence[Stage]) -> None:
        super().__init__()
        for number, stage in enumerate(encoder, 1):
            setattr(self, f"stage{number}", ResidualU(*stage))
        for number, stage in enumerate(decoder, 1):
            setattr(self, f"stage{number}d", ResidualU(*stage))
        widths = [*(stage[3] for stage in decoder), encoder[-1][3]]
        for number, width in enumerate(widths, 1):
            setattr(self, f"side{number}", nn.Conv2d(width, 1, 3, padding=1))
        self.outconv = nn.Conv2d(len(widths), 1, 1)

    def forward(self, normalised: Tensor) -> Tensor:
        *coarser, finest = self.sides(normalised)
        fused = self.outconv(torch.cat([finest, *(_resize_like(side, finest) for side in reversed(coarser))], 1))
        return torch.sigmoid(fused)

    def sides(self, x: Tensor) -> list[Tensor]:
        """Return the side outputs before the sigmoid, the coarsest first."""
        down: list[Tensor] = []
        for number in range(1, 7):
            down.append(getattr(self, f"stage{number}")(_pool(down[-1]) if down else x))
        up, sides = down[-1], [getattr(self, "side6")(down[-1])]  # noqa: B009 - named like its neighbours
        for number in range(5, 0, -1):
            up = getattr(self, f"stage{number}d")(torch.cat([_resize_like(up, down[number - 1]), down[number - 1]], 1))
            sides.append(getattr(self, f"side{number}")(up))
        return sides


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(U2net(variant_of(ENCODER, variant), DECODER[variant]), checkpoint)


def _pool(x: Tensor) -> Tensor:
    return max_pool2d(x, 2, stride=2, ceil_mode=True)


def _resize_like(x: Tensor, other: Tensor) -> Tensor:
    return interpolate(x, size=other.shape[-2:], mode="bilinear")
