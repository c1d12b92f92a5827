"""MODNet (Z. Ke et al., AAAI 2022, arXiv 2011.11961): a portrait's matte from one image, without a trimap.

The state dict has the names of the authors' `modnet_photographic_portrait_matting.ckpt` (Apache-2.0), which has channel
attention after its encoder and not the e-ASPP of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from export.networks import load_checkpoint, variant_of

# MobileNetV2's blocks: expansion, output channels, number of blocks, stride of the first one.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
HALF, QUARTER, LAST = 1, 3, 18  # the encoder's layers whose outputs are used, at 1/2, 1/4 and 1/32 of the size
# The encoder's width multiplier, the channels of its last layer, and those of the detail and fusion branches.
VARIANTS = {"mobilenetv2": (1.0, 1280, 32), "tiny": (0.25, 32, 8)}


class Encoder(nn.Module):
    """MobileNetV2 (M. Sandler et al., CVPR 2018) → features at 1/2, 1/4 and 1/32 of the size."""

    def __init__(self, width: float, last: int) -> None:
        super().__init__()
        channels = max(8, int(32 * width))
        layers: list[nn.Module] = [nn.Sequential(*_convolution(3, channels, 3, stride=2))]
        self.channels = []
        for expansion, out, count, stride in BLOCKS:
            out = max(8, int(out * width))
            self.channels.append(out)
            for number in range(count):
                layers.append(Inverted(channels, out, expansion, stride if number == 0 else 1))
                channels = out
        layers.append(nn.Sequential(*_convolution(channels, last, 1)))
        self.channels.append(last)
        self.model = nn.ModuleDict({"features": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for number, layer in enumerate(self.model["features"].children()):
            x = layer(x)
            if number in (HALF, QUARTER, LAST):
                features.append(x)
        return features


class Inverted(nn.Module):
    """An inverted residual block: expand, depthwise convolution, project."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        between = channels * expansion
        expand = _convolution(channels, between, 1) if expansion > 1 else []
        project = [nn.Conv2d(between, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*expand, *_convolution(between, between, 3, stride, between), *project)
        self._residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._residual else self.conv(x)


class HalfNormalised(nn.Module):
    """Batch normalisation for the first half of the channels, instance normalisation for the rest."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._batch_channels = channels // 2
        self.bnorm = nn.BatchNorm2d(self._batch_channels)
        self.inorm = nn.InstanceNorm2d(channels - self._batch_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.bnorm(x[:, : self._batch_channels]), self.inorm(x[:, self._batch_channels :])], 1)


class Layer(nn.Module):
    """Convolution, half-batch half-instance normalisation, ReLU; with `plain` only the convolution."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1, *, plain: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2)
        self.layers = nn.Sequential(convolution, *([] if plain else [HalfNormalised(out), nn.ReLU()]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ChannelWeights(nn.Module):
    """Squeeze-and-excitation channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = channels // 4
        self.fc = nn.Sequential(
            nn.Linear(channels, between, bias=False), nn.ReLU(), nn.Linear(between, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class Semantics(nn.Module):
    """The low-resolution branch, which locates the person: the last features → features at 1/8 of the size."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        _, _, eighth, _, sixteenth, _, _, last = encoder.channels
        self.backbone = encoder  # the network's encoder; checkpoints contain it under both names
        self.se_block = ChannelWeights(last)
        self.conv_lr16x = Layer(last, sixteenth, 5)
        self.conv_lr8x = Layer(sixteenth, eighth, 5)
        self.conv_lr = Layer(eighth, 1, stride=2, plain=True)  # used only in training

    def forward(self, coarsest: Tensor) -> Tensor:
        return self.conv_lr8x(_doubled(self.conv_lr16x(_doubled(self.se_block(coarsest)))))


class Details(nn.Module):
    """The high-resolution branch for the boundary → features at 1/2 of the size."""

    def __init__(self, channels: Sequence[int], inner: int) -> None:
        super().__init__()
        half, quarter, eighth, *_ = channels
        self.tohr_enc2x = Layer(half, inner, 1)
        self.conv_enc2x = Layer(inner + 3, inner, stride=2)
        self.tohr_enc4x = Layer(quarter, inner, 1)
        self.conv_enc4x = Layer(2 * inner, 2 * inner)
        self.conv_hr4x = nn.Sequential(
            Layer(2 * inner + eighth + 3, 2 * inner), Layer(2 * inner, 2 * inner), Layer(2 * inner, inner)
        )
        self.conv_hr2x = nn.Sequential(
            Layer(2 * inner, 2 * inner), Layer(2 * inner, inner), Layer(inner, inner), Layer(inner, inner)
        )
        self.conv_hr = nn.Sequential(Layer(inner + 3, inner), Layer(inner, 1, 1, plain=True))  # used only in training

    def forward(self, image: Tensor, half: Tensor, quarter: Tensor, semantics: Tensor) -> Tensor:
        half = self.tohr_enc2x(half)
        at_quarter = self.conv_enc2x(torch.cat([_scaled(image, 0.5), half], 1))
        at_quarter = self.conv_enc4x(torch.cat([at_quarter, self.tohr_enc4x(quarter)], 1))
        at_quarter = self.conv_hr4x(torch.cat([at_quarter, _doubled(semantics), _scaled(image, 0.25)], 1))
        return self.conv_hr2x(torch.cat([_doubled(at_quarter), half], 1))


class Fusion(nn.Module):
    """The fusion of both branches → alpha before the sigmoid, at the size of the image."""

    def __init__(self, channels: Sequence[int], inner: int) -> None:
        super().__init__()
        self.conv_lr4x = Layer(channels[2], inner, 5)
        self.conv_f2x = Layer(2 * inner, inner)
        self.conv_f = nn.Sequential(Layer(inner + 3, inner // 2), Layer(inner // 2, 1, 1, plain=True))

    def forward(self, image: Tensor, semantics: Tensor, details: Tensor) -> Tensor:
        coarse = _doubled(self.conv_lr4x(_doubled(semantics)))
        fused = self.conv_f2x(torch.cat([coarse, details], 1))
        return self.conv_f(torch.cat([_doubled(fused), image], 1))


class Modnet(nn.Module):
    """f32 N×3×H×W in -1..1, sides multiples of 32 → alpha N×1×H×W in 0..1."""

    def __init__(self, width: float, last: int, inner: int) -> None:
        super().__init__()
        self.backbone = Encoder(width, last)
        self.lr_branch = Semantics(self.backbone)
        self.hr_branch = Details(self.backbone.channels, inner)
        self.f_branch = Fusion(self.backbone.channels, inner)

    def forward(self, normalised: Tensor) -> Tensor:
        half, quarter, coarsest = self.backbone(normalised)
        semantics = self.lr_branch(coarsest)
        details = self.hr_branch(normalised, half, quarter, semantics)
        return torch.sigmoid(self.f_branch(normalised, semantics, details))


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(Modnet(*variant_of(VARIANTS, variant)), checkpoint)


def _convolution(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU6()]


def _doubled(x: Tensor) -> Tensor:
    return _scaled(x, 2.0)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear")
