"""Robust Video Matting (S. Lin et al., WACV 2022, arXiv 2108.11515) on MobileNetV3, for single images.

The state dict has the names of the authors' `rvm_mobilenetv3.pth` (GPL-3.0; the encoder is torchvision's). Its guided
filter is for images larger than the network's working size. Here images have that size, so it is loaded and not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.models import mobilenet_v3_large

from export.networks import load_checkpoint, variant_of

FEATURE_LAYERS = (1, 3, 6, 16)  # the encoder's layers at 1/2, 1/4, 1/8 and 1/16 of the size
# The encoder's width multiplier, the channels of LR-ASPP, and the decoder's channels, coarsest first.
VARIANTS = {"mobilenetv3": (1.0, 128, (80, 40, 32, 16)), "tiny": (0.25, 16, (8, 8, 8, 8))}


class Encoder(nn.Module):
    """f32 N×3×H×W in 0..1 → features at 1/2, 1/4, 1/8 and 1/16 of the size."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: float) -> None:
        super().__init__()
        self.features = mobilenet_v3_large(weights=None, width_mult=width, dilated=True).features
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, features = (image - self.mean) / self.deviation, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in FEATURE_LAYERS:
                features.append(x)
        return features

    def channels(self) -> list[int]:
        """Return the channels of each output."""
        with torch.no_grad():
            return [features.shape[1] for features in self.eval()(torch.zeros(1, 3, 32, 32))]


class LrAspp(nn.Module):
    """LR-ASPP (A. Howard et al., ICCV 2019): features weighted by their mean over the whole image."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.aspp1 = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
        self.aspp2 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, out, 1, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.aspp1(x) * self.aspp2(x)


class FirstStep(nn.Module):
    """The first step of a convolutional GRU on the second half of the channels: the state is zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._kept = channels // 2
        half = channels // 2
        self.gru = nn.ModuleDict(
            {
                "ih": nn.Sequential(nn.Conv2d(2 * half, 2 * half, 3, padding=1), nn.Sigmoid()),
                "hh": nn.Sequential(nn.Conv2d(2 * half, half, 3, padding=1), nn.Tanh()),
            }
        )

    def step(self, x: Tensor) -> Tensor:
        kept, changed = x[:, : self._kept], x[:, self._kept :]
        with_zero_state = torch.cat([changed, torch.zeros_like(changed)], 1)
        update = self.gru["ih"](with_zero_state)[:, self._kept :]
        return torch.cat([kept, update * self.gru["hh"](with_zero_state)], 1)


class Bottleneck(FirstStep):
    def forward(self, x: Tensor) -> Tensor:
        return self.step(x)


class Upsampling(FirstStep):
    """Upsampling to twice the size, with the encoder's features and the image at that size."""

    def __init__(self, channels: int, skipped: int, out: int) -> None:
        super().__init__(out)
        self.conv = nn.Sequential(*_layer(channels + skipped + 3, out))

    def forward(self, x: Tensor, skipped: Tensor, image: Tensor) -> Tensor:
        return self.step(self.conv(torch.cat([_doubled(x), skipped, image], 1)))


class Output(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_layer(channels + 3, out), *_layer(out, out))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        return self.conv(torch.cat([_doubled(x), image], 1))


class Decoder(nn.Module):
    def __init__(self, skipped: Sequence[int], summary: int, out: Sequence[int]) -> None:
        super().__init__()
        half, quarter, eighth = skipped
        self.decode4 = Bottleneck(summary)
        self.decode3 = Upsampling(summary, eighth, out[0])
        self.decode2 = Upsampling(out[0], quarter, out[1])
        self.decode1 = Upsampling(out[1], half, out[2])
        self.decode0 = Output(out[2], out[3])

    def forward(self, image: Tensor, half: Tensor, quarter: Tensor, eighth: Tensor, summary: Tensor) -> Tensor:
        x = self.decode4(summary)
        x = self.decode3(x, eighth, avg_pool2d(image, 8))
        x = self.decode2(x, quarter, avg_pool2d(image, 4))
        x = self.decode1(x, half, avg_pool2d(image, 2))
        return self.decode0(x, image)


class Projection(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class GuidedFilter(nn.Module):
    """The parameters of the guided filter, without its computation."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.box_filter = nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=4)
        layers = [*_layer(8 + hidden, hidden, 1), *_layer(hidden, hidden, 1), nn.Conv2d(hidden, 4, 1)]
        self.conv = nn.Sequential(*layers)


class Rvm(nn.Module):
    """f32 N×3×H×W in 0..1, sides multiples of 16 → alpha N×1×H×W, which may lie outside 0..1; the glue clamps it.

    The foreground colours are no output.
    """

    def __init__(self, width: float, summary: int, decoder: Sequence[int]) -> None:
        super().__init__()
        self.backbone = Encoder(width)
        *skipped, deepest = self.backbone.channels()
        self.aspp = LrAspp(deepest, summary)
        self.decoder = Decoder(skipped, summary, decoder)
        self.project_mat = Projection(decoder[-1], 4)
        self.project_seg = Projection(decoder[-1], 1)  # used only in training
        self.refiner = GuidedFilter(decoder[-1])

    def forward(self, normalised: Tensor) -> Tensor:
        half, quarter, eighth, deepest = self.backbone(normalised)
        x = self.decoder(normalised, half, quarter, eighth, self.aspp(deepest))
        return self.project_mat(x)[:, 3:]


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(Rvm(*variant_of(VARIANTS, variant)), checkpoint)


def _layer(channels: int, out: int, kernel: int = 3) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU()]


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="bilinear")
