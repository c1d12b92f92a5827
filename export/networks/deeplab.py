"""DeepLabV3+ on MobileNetV2 (L.-C. Chen et al., ECCV 2018, arXiv 1802.02611), as transformers has it.

Checkpoint: `model.safetensors` of google/deeplabv3_mobilenet_v2_1.0_513, 21 classes of Pascal VOC.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

from export.networks import load_checkpoint, variant_of

SIDE, CLASSES = 513, 21
VARIANTS = {"mobilenetv2": 1.0, "tiny": 0.35}  # width multipliers


class DeepLab(nn.Module):
    """f32 N×3×513×513 in -1..1 → scores N×21×513×513, the background's first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised: Tensor) -> Tensor:
        scores = self.network(pixel_values=normalised).logits
        return interpolate(scores, size=(SIDE, SIDE), mode="bilinear")


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    config = MobileNetV2Config(
        image_size=SIDE, depth_multiplier=variant_of(VARIANTS, variant), num_labels=CLASSES, output_stride=16
    )
    return DeepLab(load_checkpoint(MobileNetV2ForSemanticSegmentation(config), checkpoint))
