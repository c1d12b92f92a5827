"""ISNet (X. Qin et al., "Highly Accurate Dichotomous Image Segmentation", ECCV 2022, arXiv 2203.03041).

The state dict has the authors' names, so their `isnet-general-use.pth` (Apache-2.0) loads unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from export.networks import load_checkpoint, variant_of
from export.networks.u2net import DECODER, ENCODER, Stage, U2net


class Isnet(U2net):
    """f32 N×3×H×W in -0.5..0.5 → saliency N×1×H×W in 0..1.

    One convolution halves the size, then follow the stages of U²-Net. The finest side output is the result; nothing is
    fused. The other side outputs exist because checkpoints contain their weights.
    """

    def __init__(self, encoder: Sequence[Stage], decoder: Sequence[Stage]) -> None:
        depth, _, between, out = encoder[0]
        super().__init__([(depth, out, between, out), *encoder[1:]], decoder)
        del self.outconv
        self.conv_in = nn.Conv2d(3, out, 3, stride=2, padding=1)

    def forward(self, normalised: Tensor) -> Tensor:
        *_, finest = self.sides(self.conv_in(normalised))
        return torch.sigmoid(interpolate(finest, size=normalised.shape[-2:], mode="bilinear"))


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return load_checkpoint(Isnet(variant_of(ENCODER, variant), DECODER[variant]), checkpoint)
