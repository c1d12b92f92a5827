"""MODNet (Z. Ke et al., AAAI 2022, arXiv 2011.11961): a portrait's matte from one picture, without a trimap.

The state dict has the names of the authors' `modnet_photographic_portrait_matting.ckpt` (Apache-2.0), which has channel
weights after its encoder, and not yet the paper's e-ASPP.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from export.networks import load, variant_of

# MobileNetV2's blocks: how often wider inside, channels out, how many, and the stride of the first.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
HALF, QUARTER, LAST = 1, 3, 18  # the encoder's layers whose output is taken, at 1/2, 1/4 and 1/32 of the size
# The width of the encoder's layers, the channels of its last one, and those of the branches of details and fusion.
VARIANTS = {"mobilenetv2": (1.0, 1280, 32), "tiny": (0.25, 32, 8)}


class Encoder(nn.Module):
    """MobileNetV2 (M. Sandler et al., CVPR 2018) → its outputs at 1/2, 1/4 and 1/32 of the size."""

    def __init__(self, width: float, last: int) -> None:
        super().__init__()
        channels = max(8, int(32 * width))
        layers: list[nn.Module] = [nn.Sequential(*_convolution(3, channels, 3, stride=2))]
        self.channels = []
        for wider, out, count, stride in BLOCKS:
            out = max(8, int(out * width))
            self.channels.append(out)
            for number in range(count):
                layers.append(Inverted(channels, out, wider, stride if number == 0 else 1))
                channels = out
        layers.append(nn.Sequential(*_convolution(channels, last, 1)))
        self.channels.append(last)
        self.model = nn.ModuleDict({"features": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> list[Tensor]:
        taken = []
        for number, layer in enumerate(self.model["features"].children()):
            x = layer(x)
            if number in (HALF, QUARTER, LAST):
                taken.append(x)
        return taken


class Inverted(nn.Module):
    """A residual block that is wide inside, one channel at a time."""

    def __init__(self, channels: int, out: int, wider: int, stride: int) -> None:
        super().__init__()
        between = channels * wider
        widened = _convolution(channels, between, 1) if wider > 1 else []
        narrowed = [nn.Conv2d(between, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*widened, *_convolution(between, between, 3, stride, between), *narrowed)
        self._residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._residual else self.conv(x)


class HalfNormalised(nn.Module):
    """The first half of the channels by the batch's statistics, the rest by each picture's own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._of_batch = channels // 2
        self.bnorm = nn.BatchNorm2d(self._of_batch)
        self.inorm = nn.InstanceNorm2d(channels - self._of_batch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.bnorm(x[:, : self._of_batch]), self.inorm(x[:, self._of_batch :])], 1)


class Layer(nn.Module):
    """Convolution, normalisation by halves, ReLU; `plain` is the convolution alone."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1, *, plain: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2)
        self.layers = nn.Sequential(convolution, *([] if plain else [HalfNormalised(out), nn.ReLU()]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ChannelWeights(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = channels // 4
        self.fc = nn.Sequential(
            nn.Linear(channels, between, bias=False), nn.ReLU(), nn.Linear(between, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class Semantics(nn.Module):
    """Where the person is, at low resolution: the encoder's end → features at 1/8 of the size."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        _, _, eighth, _, sixteenth, _, _, last = encoder.channels
        self.backbone = encoder  # the net's own, which checkpoints have under both names
        self.se_block = ChannelWeights(last)
        self.conv_lr16x = Layer(last, sixteenth, 5)
        self.conv_lr8x = Layer(sixteenth, eighth, 5)
        self.conv_lr = Layer(eighth, 1, stride=2, plain=True)  # of use in training only

    def forward(self, coarsest: Tensor) -> Tensor:
        return self.conv_lr8x(_doubled(self.conv_lr16x(_doubled(self.se_block(coarsest)))))


class Details(nn.Module):
    """The boundary at high resolution → features at 1/2 of the size."""

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
        self.conv_hr = nn.Sequential(Layer(inner + 3, inner), Layer(inner, 1, 1, plain=True))  # of use in training only

    def forward(self, picture: Tensor, half: Tensor, quarter: Tensor, semantics: Tensor) -> Tensor:
        half = self.tohr_enc2x(half)
        at_quarter = self.conv_enc2x(torch.cat([_scaled(picture, 0.5), half], 1))
        at_quarter = self.conv_enc4x(torch.cat([at_quarter, self.tohr_enc4x(quarter)], 1))
        at_quarter = self.conv_hr4x(torch.cat([at_quarter, _doubled(semantics), _scaled(picture, 0.25)], 1))
        return self.conv_hr2x(torch.cat([_doubled(at_quarter), half], 1))


class Fusion(nn.Module):
    """Both → alpha before its sigmoid, at the picture's size."""

    def __init__(self, channels: Sequence[int], inner: int) -> None:
        super().__init__()
        self.conv_lr4x = Layer(channels[2], inner, 5)
        self.conv_f2x = Layer(2 * inner, inner)
        self.conv_f = nn.Sequential(Layer(inner + 3, inner // 2), Layer(inner // 2, 1, 1, plain=True))

    def forward(self, picture: Tensor, semantics: Tensor, details: Tensor) -> Tensor:
        coarse = _doubled(self.conv_lr4x(_doubled(semantics)))
        fused = self.conv_f2x(torch.cat([coarse, details], 1))
        return self.conv_f(torch.cat([_doubled(fused), picture], 1))


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
    return load(Modnet(*variant_of(VARIANTS, variant)), checkpoint)


def _convolution(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU6()]


def _doubled(x: Tensor) -> Tensor:
    return _scaled(x, 2.0)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear")
