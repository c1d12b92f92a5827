"""DeepLab V1 (L.-C. Chen et al., ICLR 2015, arXiv 1412.7062) and V2 (TPAMI 2018, arXiv 1606.00915), without their CRF.

V1 is `LargeFOV`: VGG-16 with an atrous 3×3 convolution as fc6. V2 adds up several of them (ASPP, rates 6 to 24), on
VGG-16 or ResNet-101. Checkpoint: the state dict of a training with these modules, 21 classes of Pascal VOC; the authors
published Caffe files, which do not load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models.resnet import Bottleneck, ResNet

from export.networks import load_checkpoint, variant_of

CLASSES = 21
FIELD = (12,)  # the rate of LargeFOV's fc6
PYRAMID = (6, 12, 18, 24)
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and channels of each stage


class Scores(nn.Module):
    """f32 N×3×H×W with ImageNet's mean and deviation → scores N×21×H×W, the background's first.

    `features` has an eighth of the size; `heads` have different rates, and their scores are added.
    """

    def __init__(self, features: nn.Module, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(heads)

    def forward(self, normalised: Tensor) -> Tensor:
        features = self.features(normalised)
        scores = torch.stack([head(features) for head in self.heads]).sum(dim=0)
        return interpolate(scores, size=normalised.shape[-2:], mode="bilinear")


def vgg(stages: Sequence[tuple[int, int]], hidden: int, rates: Sequence[int]) -> nn.Module:
    """Build DeepLab on VGG: the last stage is atrous, and the last two poolings keep the size."""
    layers: list[nn.Module] = []
    channels = 3
    for number, (count, out) in enumerate(stages, 1):
        rate = 2 if number == 5 else 1
        for _ in range(count):
            layers += [nn.Conv2d(channels, out, 3, padding=rate, dilation=rate), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(3, stride=2 if number < 4 else 1, padding=1))
    if len(rates) == 1:
        layers.append(nn.AvgPool2d(3, stride=1, padding=1))
    return Scores(nn.Sequential(*layers), [_fully_connected(channels, hidden, rate) for rate in rates])


def resnet(blocks: Sequence[int], rates: Sequence[int]) -> nn.Module:
    network = ResNet(Bottleneck, list(blocks), replace_stride_with_dilation=[False, True, True])
    parts = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    features = nn.Sequential()
    for part in parts:
        features.add_module(part, getattr(network, part))
    channels = network.fc.in_features
    return Scores(features, [nn.Conv2d(channels, CLASSES, 3, padding=rate, dilation=rate) for rate in rates])


VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "v1_vgg16": lambda: vgg(VGG16, 1024, FIELD),
    "v2_vgg16": lambda: vgg(VGG16, 1024, PYRAMID),
    "v2_resnet101": lambda: resnet((3, 4, 23, 3), PYRAMID),
    "tiny": lambda: vgg([(count, channels // 16) for count, channels in VGG16], 32, PYRAMID),
}


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(variant_of(VARIANTS, variant)(), checkpoint)


def _fully_connected(channels: int, hidden: int, rate: int) -> nn.Module:
    """Build the layers fc6 to fc8 as convolutions."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=rate, dilation=rate),
        nn.ReLU(),
        nn.Dropout(),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(),
        nn.Dropout(),
        nn.Conv2d(hidden, CLASSES, 1),
    )
