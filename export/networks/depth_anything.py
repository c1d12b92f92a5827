"""Depth Anything V2 (L. Yang et al., NeurIPS 2024, arXiv 2406.09414), as transformers has it.

Checkpoints: `model.safetensors` of depth-anything/Depth-Anything-V2-Small-hf (Apache-2.0) and -Base-hf (CC BY-NC 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from export.networks import load_checkpoint, variant_of

SIDE, PATCH = 518, 14
# DINOv2's width, heads, blocks and the blocks whose output is used; then the channels of neck and head.
VARIANTS: dict[str, tuple[int, int, int, list[int], list[int], int]] = {
    "small": (384, 6, 12, [3, 6, 9, 12], [48, 96, 192, 384], 64),
    "base": (768, 12, 12, [3, 6, 9, 12], [96, 192, 384, 768], 128),
    "tiny": (48, 3, 4, [1, 2, 3, 4], [16, 24, 32, 48], 16),
}


class DepthAnything(nn.Module):
    """f32 N×3×518×518 with ImageNet's mean and deviation → nearness N×1×518×518 without a unit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised: Tensor) -> Tensor:
        return self.network(pixel_values=normalised).predicted_depth.unsqueeze(1)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return DepthAnything(
        load_checkpoint(DepthAnythingForDepthEstimation(_config(*variant_of(VARIANTS, variant))), checkpoint)
    )


def _config(width: int, heads: int, blocks: int, used_blocks: list[int], neck: list[int], fusion: int) -> Any:
    return DepthAnythingConfig(
        backbone_config=Dinov2Config(
            hidden_size=width,
            num_hidden_layers=blocks,
            num_attention_heads=heads,
            image_size=SIDE,
            patch_size=PATCH,
            out_indices=used_blocks,
            reshape_hidden_states=False,
            apply_layernorm=True,
        ),
        reassemble_hidden_size=width,
        neck_hidden_sizes=neck,
        fusion_hidden_size=fusion,
        patch_size=PATCH,
    )
