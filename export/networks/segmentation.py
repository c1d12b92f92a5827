"""U-Net (O. Ronneberger et al., MICCAI 2015, arXiv 1505.04597), DeepLabV3 (L.-C. Chen et al., arXiv 1706.05587) and
DeepLabV3+ (ECCV 2018, arXiv 1802.02611) on several encoders, as segmentation-models-pytorch has them.

Checkpoint: the state dict of a training with that library, 21 classes of Pascal VOC; the library publishes none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as library
from torch import Tensor, nn

from export.networks import load_checkpoint, variant_of

CLASSES = 21
# The library's class, its encoder, and further arguments.
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unet_resnet34": ("Unet", "resnet34", {}),
    "unet_resnet50": ("Unet", "resnet50", {}),
    "deeplabv3_resnet50": ("DeepLabV3", "resnet50", {}),
    "deeplabv3_resnet101": ("DeepLabV3", "resnet101", {}),
    "deeplabv3plus_resnet50": ("DeepLabV3Plus", "resnet50", {}),
    "deeplabv3plus_resnet101": ("DeepLabV3Plus", "resnet101", {}),
    "deeplabv3plus_xception65": ("DeepLabV3Plus", "tu-xception65", {}),  # the aligned Xception of the paper, from timm
    "deeplabv3plus_mobilenetv2": ("DeepLabV3Plus", "mobilenet_v2", {}),
    "tiny": ("DeepLabV3Plus", "mobilenet_v2", {"decoder_channels": 16}),
}


class Segmentation(nn.Module):
    """f32 N×3×H×W with ImageNet's mean and deviation → scores N×21×H×W, the background's first; sides are
    multiples of 32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised: Tensor) -> Tensor:
        return self.network(normalised)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    kind, encoder, options = variant_of(VARIANTS, variant)
    network = getattr(library, kind)(encoder, encoder_weights=None, classes=CLASSES, **options)
    return Segmentation(load_checkpoint(network, checkpoint))
