"""cutnet: a small network for salient subjects, designed for CPUs. 2.6 M parameters, 0.87 GMAC at 320×320.

The encoder is EfficientNet-Lite0 (https://arxiv.org/abs/1905.11946, the Lite variant without squeeze-and-excitation and
with ReLU6) up to stride 32, so its public ImageNet weights fit. A context block follows, with atrous depthwise
convolutions and the mean over the image (after DeepLabV3, https://arxiv.org/abs/1706.05587). The decoder has U-Net's
skip connections and ends at half the input's size. TensorRT, OpenVINO and ONNX Runtime can fuse every operator:
convolution, batch normalisation, ReLU6, addition, concatenation, bilinear resize, mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Stage:
    """A stage of EfficientNet-Lite0: blocks of one width, of which the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


# The published network has a further stage of width 320 and a head of 1280, a third of its weights. Here the context
# block replaces them.
STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
)
SKIPS = (0, 1, 2, 4)  # the last stages at strides 2, 4, 8 and 16
DECODER = (96, 64, 40, 24)  # widths at strides 16, 8, 4 and 2
CONTEXT = 128


class Cutnet(nn.Module):
    """f32 N×3×H×W in about -1..1 → logits N×1×H×W; H and W multiples of 32.

    In training mode it returns a list of logits, finest first, at the input's size and at strides 4, 8 and 16.
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
        skips, deepest = self.encoder(pixels)
        value = self.context(deepest)
        levels: list[Tensor] = []
        for up, skip in zip(self.decoder, reversed(skips), strict=True):
            value = up(value, skip)
            levels.append(value)
        finest = _double_size(self.heads[-1](levels[-1]))
        if not self.training:
            return finest
        return [finest, *(head(level) for head, level in zip(self.heads[-2::-1], levels[-2::-1], strict=True))]


class Encoder(nn.Module):
    """N×3×H×W → features at strides 2, 4, 8 and 16, and the deepest features at stride 32."""

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
        """Load EfficientNet-Lite0's published state dict, without the layers after our last stage."""
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
    """Convolution, batch normalisation, and ReLU6 unless `linear`.

    The padding is TensorFlow's `SAME`, which the published weights were trained with.
    """

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
        # At stride 2 and even sizes, TensorFlow pads the right and the bottom by one pixel more than the other sides.
        before, after = dilation * ((kernel - 1) // 2), dilation * (kernel - 1)
        self.pad = (before - 1, after - before) * 2 if stride == 2 else None
        padding = 0 if stride == 2 else before
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.linear = linear
        # oneDNN's bf16 gradients of these are 10 to 100 times slower than its fp32 ones.
        self.in_fp32 = groups > 1 and (kernel == 5 or stride == 2)

    def forward(self, value: Tensor) -> Tensor:
        if self.pad is not None:
            value = F.pad(value, self.pad)
        value = self.norm(self._convolve_in_fp32(value) if self.in_fp32 and self.training else self.convolution(value))
        return value if self.linear else F.relu6(value)

    def _convolve_in_fp32(self, value: Tensor) -> Tensor:
        with torch.autocast(value.device.type, enabled=False):
            result: Tensor = self.convolution(value.float())
        return result.to(value.dtype)


class Block(nn.Module):
    """An inverted bottleneck: expand, depthwise convolution, project. It is residual if the shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        self.expand = Convolution(inputs, wide, 1) if expand > 1 else nn.Identity()
        self.depthwise = Convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.project = Convolution(wide, outputs, 1, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = self.project(self.depthwise(self.expand(value)))
        return value + result if self.residual else result


class Context(nn.Module):
    """The context: depthwise convolutions with growing dilation, and the mean over the whole image."""

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
    """One level of the decoder: upsample, concatenate the encoder's features, mix by separable convolutions."""

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
        # Reduce the channels before upsampling: the same result for a quarter of the arithmetic.
        coarse = _double_size(self.narrow(coarse))
        mixed: Tensor = self.mix(torch.cat([coarse, self.skip(skip)], 1))
        return mixed


def _double_size(value: Tensor) -> Tensor:
    enlarged: Tensor = F.interpolate(value, scale_factor=2.0, mode="bilinear", align_corners=False)
    return enlarged


def normalise(image: Tensor) -> Tensor:
    """Normalise for EfficientNet-Lite's weights: u8 N×H×W×3 RGB → f32 N×3×H×W in -1..1."""
    return ((image.float() - 127.0) / 128.0).permute(0, 3, 1, 2)


class Served(nn.Module):
    """The served network: u8 `image` N×H×W×3 RGB → u8 `matte` N×H×W, 0 background, 255 subject."""

    def __init__(self, network: Cutnet) -> None:
        super().__init__()
        self.net = network  # the names in committed files begin with it

    def forward(self, image: Tensor) -> Tensor:
        alpha: Tensor = self.net(normalise(image)).squeeze(1).sigmoid()
        return (alpha * 255.0).round().to(torch.uint8)
