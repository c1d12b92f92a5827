"""ViTMatte (J. Yao et al., Information Fusion 2024, arXiv 2305.15272), as transformers has it.

Checkpoints: `model.safetensors` of hustvl/vitmatte-small-composition-1k and -base-composition-1k (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting

from export.networks import load_checkpoint, variant_of

SIDE, PATCH, WINDOW = 512, 16, 14
# Width, heads, number of blocks; indices of the windowed and of the residual blocks; channels of fusion and details.
VARIANTS: dict[str, tuple[int, int, int, list[int], list[int], list[int], list[int]]] = {
    "small": (384, 6, 12, [0, 1, 3, 4, 6, 7, 9, 10], [2, 5, 8, 11], [256, 128, 64, 32], [48, 96, 192]),
    "base": (768, 12, 12, [0, 1, 3, 4, 6, 7, 9, 10], [2, 5, 8, 11], [256, 128, 64, 32], [48, 96, 192]),
    "tiny": (48, 3, 4, [0, 1], [2], [32, 16, 16, 8], [8, 12, 16]),
}


class VitMatte(nn.Module):
    """f32 N×4×512×512, the image in -1..1 and the trimap in 0..1 → alpha N×1×512×512 in 0..1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised: Tensor) -> Tensor:
        alphas: Tensor = self.network(pixel_values=normalised).alphas
        return alphas


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return VitMatte(load_checkpoint(VitMatteForImageMatting(_config(*variant_of(VARIANTS, variant))), checkpoint))


def _config(
    width: int, heads: int, blocks: int, windowed: list[int], residual: list[int], fusion: list[int], stream: list[int]
) -> Any:
    return VitMatteConfig(
        backbone_config=VitDetConfig(
            hidden_size=width,
            num_hidden_layers=blocks,
            num_attention_heads=heads,
            num_channels=4,
            image_size=SIDE,
            pretrain_image_size=224,
            patch_size=PATCH,
            window_size=WINDOW,
            window_block_indices=windowed,
            residual_block_indices=residual,
            use_relative_position_embeddings=True,
            out_features=[f"stage{blocks}"],
        ),
        hidden_size=width,
        fusion_hidden_sizes=fusion,
        convstream_hidden_sizes=stream,
    )
