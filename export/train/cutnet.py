"""cutnet: our own small net for salient subjects, made for CPUs. 2.6 M parameters, 0.87 GMAC at 320×320.

The encoder is EfficientNet-Lite0 (https://arxiv.org/abs/1905.11946, the Lite variant without squeeze-and-excitation and
with ReLU6) up to stride 32, so that its public ImageNet weights fit. Behind it lies a context block of atrous
depthwise convolutions and the picture's mean (after DeepLabV3, https://arxiv.org/abs/1706.05587), and a decoder with
U-Net's skip connections that ends at half the input's size. Every operator is one that TensorRT, OpenVINO and ONNX
Runtime fuse: convolution, batch normalisation, ReLU6, addition, concatenation, bilinear resize, mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Stage:
    """Blocks of EfficientNet-Lite0 that share a width; the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


# The published network goes on with a stage of 320 and a head of 1280, which hold a third of its weights; here the
# context block takes their place.
STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
)
SKIPS = (0, 1, 2, 4)  # the last stage at strides 2, 4, 8 and 16
DECODER = (96, 64, 40, 24)  # widths at strides 16, 8, 4 and 2
CONTEXT = 128


class Cutnet(nn.Module):
    """f32 N×3×H×W in about -1..1 → logits N×1×H×W; H and W multiples of 32.

    In training a list of logits, finest first, at the input's size and at strides 4, 8 and 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.context = Context(STAGES[-1].width, CONTEXT)
        widths = (CONTEXT, *DECODER)
        skips = [STAGES[number].width for number in reversed(SKIPS)]
        self.decoder = nn.ModuleList(
            Up(coarse, skip, out) for coarse, skip, out in zip(widths[:-1], skips, DECODER, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 3, padding=1) for width in DECODER)

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        skips, deep = self.encoder(pixels)
        value = self.context(deep)
        levels: list[Tensor] = []
        for up, skip in zip(self.decoder, reversed(skips), strict=True):
            value = up(value, skip)
            levels.append(value)
        finest = _twice(self.heads[-1](levels[-1]))
        if not self.training:
            return finest
        return [finest, *(head(level) for head, level in zip(self.heads[-2::-1], levels[-2::-1], strict=True))]


class Encoder(nn.Module):
    """N×3×H×W → the features at strides 2, 4, 8, 16, and the deepest at 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        width = STEM
        for stage in STAGES:
            strides = [stage.stride] + [1] * (stage.blocks - 1)
            blocks = []
            for stride in strides:
                blocks.append(Block(width, stage.width, stage.kernel, stride, stage.expand))
                width = stage.width
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        value, skips = self.stem(pixels), []
        for number, stage in enumerate(self.stages):
            value = stage(value)
            if number in SKIPS:
                skips.append(value)
        return skips, value

    def load_imagenet(self, published: Mapping[str, Tensor]) -> None:
        """From EfficientNet-Lite0's published state dict; what lies behind our last stage is left out."""
        names = {"_conv_stem": "stem.convolution", "_bn0": "stem.norm"}
        number = 0
        for stage_number, stage in enumerate(STAGES):
            for block in range(stage.blocks):
                for theirs, ours in _BLOCK_NAMES.items():
                    names[f"_blocks.{number}.{theirs}"] = f"stages.{stage_number}.{block}.{ours}"
                number += 1
        renamed = {}
        for name, tensor in published.items():
            layer, _, field = name.rpartition(".")
            if layer in names:
                renamed[f"{names[layer]}.{field}"] = tensor
        self.load_state_dict(renamed)


_BLOCK_NAMES = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.convolution",
    "_bn2": "project.norm",
}


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU6 unless `linear`; padded like TensorFlow's `SAME`, for the weights."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        # At stride 2 and even sizes TensorFlow pads one more on the right and at the bottom than on the other sides.
        before, after = dilation * ((kernel - 1) // 2), dilation * (kernel - 1)
        self.pad = (before - 1, after - before) * 2 if stride == 2 else None
        padding = 0 if stride == 2 else before
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.linear = linear
        # oneDNN's bf16 gradients of these are 10 to 100 times slower than its f32 ones.
        self.exact = groups > 1 and (kernel == 5 or stride == 2)

    def forward(self, value: Tensor) -> Tensor:
        if self.pad is not None:
            value = F.pad(value, self.pad)
        value = self.norm(self._exactly(value) if self.exact and self.training else self.convolution(value))
        return value if self.linear else F.relu6(value)

    def _exactly(self, value: Tensor) -> Tensor:
        with torch.autocast(value.device.type, enabled=False):
            made: Tensor = self.convolution(value.float())
        return made.to(value.dtype)


class Block(nn.Module):
    """An inverted bottleneck: widen, convolve each channel, narrow; added to its input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        self.expand = Convolution(inputs, wide, 1) if expand > 1 else nn.Identity()
        self.depthwise = Convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.project = Convolution(wide, outputs, 1, linear=True)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, value: Tensor) -> Tensor:
        made: Tensor = self.project(self.depthwise(self.expand(value)))
        return value + made if self.adds else made


class Context(nn.Module):
    """What lies around: depthwise convolutions of growing reach and the mean of the whole picture."""

    def __init__(self, inputs: int, outputs: int, dilations: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__()
        self.reduce = Convolution(inputs, outputs, 1)
        self.reaches = nn.ModuleList(
            Convolution(outputs, outputs, 3, dilation=dilation, groups=outputs) for dilation in dilations
        )
        self.whole = nn.Conv2d(outputs, outputs, 1)
        self.join = Convolution(outputs * (len(dilations) + 1), outputs, 1)

    def forward(self, value: Tensor) -> Tensor:
        value = self.reduce(value)
        whole: Tensor = self.whole(value.mean((2, 3), keepdim=True))
        joined: Tensor = self.join(torch.cat([value, *(reach(value) for reach in self.reaches)], 1))
        return joined + whole


class Up(nn.Module):
    """The coarse level at the fine one's size, beside the encoder's features there, mixed by separable convolutions."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.skip = Convolution(skip, outputs, 1)
        self.narrow = Convolution(coarse, outputs, 1)
        self.mix = nn.Sequential(
            Convolution(2 * outputs, 2 * outputs, 3, groups=2 * outputs),
            Convolution(2 * outputs, outputs, 1),
            Convolution(outputs, outputs, 3, groups=outputs),
            Convolution(outputs, outputs, 1),
        )

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        # Narrowed before it is enlarged: the same result for a quarter of the arithmetic.
        coarse = _twice(self.narrow(coarse))
        mixed: Tensor = self.mix(torch.cat([coarse, self.skip(skip)], 1))
        return mixed


def _twice(value: Tensor) -> Tensor:
    enlarged: Tensor = F.interpolate(value, scale_factor=2.0, mode="bilinear", align_corners=False)
    return enlarged


def normalise(image: Tensor) -> Tensor:
    """u8 N×H×W×3 RGB → f32 N×3×H×W in -1..1, as EfficientNet-Lite's weights expect it."""
    return ((image.float() - 127.0) / 128.0).permute(0, 3, 1, 2)


class Served(nn.Module):
    """u8 `image` N×H×W×3 RGB → u8 `matte` N×H×W, 0 background, 255 subject: what Triton serves."""

    def __init__(self, net: Cutnet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        alpha: Tensor = self.net(normalise(image)).squeeze(1).sigmoid()
        return (alpha * 255.0).round().to(torch.uint8)
