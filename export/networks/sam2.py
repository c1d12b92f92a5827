"""SAM 2 (N. Ravi et al., 2024, arXiv 2408.00714), as transformers has it: the part for images.

Checkpoints: `model.safetensors` of facebook/sam2.1-hiera-tiny, -small, -base-plus and -large (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Sam2Config, Sam2Model

from export.networks import load_checkpoint, variant_of

BOXES = 8
EMPTY_LOGIT = -1e4  # its probability is 0, also in half precision
# Prefixes of a checkpoint's tensors for videos, and of a second copy of one tensor.
VIDEO = (
    "memory_",
    "mask_downsample.",
    "object_pointer_proj.",
    "temporal_positional_encoding_projection_layer.",
    "no_memory_positional_encoding",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
)
COPY = "prompt_encoder.shared_embedding."
# The input's side in px; channels and heads of the first stage, which double with each stage; blocks per stage; indices
# of the blocks with global attention; window size per stage; side of the position embedding; width of the decoder.
VARIANTS: dict[str, tuple[int, int, int, list[int], list[int], list[int], int, int]] = {
    "hiera_tiny": (1024, 96, 1, [1, 2, 7, 2], [5, 7, 9], [8, 4, 14, 7], 7, 256),
    "hiera_small": (1024, 96, 1, [1, 2, 11, 2], [7, 10, 13], [8, 4, 14, 7], 7, 256),
    "hiera_base_plus": (1024, 112, 2, [2, 3, 16, 3], [12, 16, 20], [8, 4, 14, 7], 14, 256),
    "hiera_large": (1024, 144, 2, [2, 6, 36, 4], [23, 33, 43], [8, 4, 16, 8], 7, 256),
    "tiny": (128, 16, 1, [1, 1, 3, 1], [3], [8, 4, 14, 7], 7, 32),
}


class Sam2(nn.Module):
    """SAM 2 prompted by boxes: the union of the objects in the boxes, as probabilities N×1×S×S in 0..1.

    `normalised` is f32 N×3×S×S with ImageNet's mean and deviation. `boxes` is f32 N×8×4: left, top, right, bottom
    relative to the image, 0..1. Boxes without area, such as zeros, are ignored.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, normalised: Tensor, boxes: Tensor) -> Tensor:
        side = normalised.shape[-1]
        result = self.network(pixel_values=normalised, input_boxes=boxes * side, multimask_output=False)
        has_area = (boxes[:, :, 2] > boxes[:, :, 0]) & (boxes[:, :, 3] > boxes[:, :, 1])
        logits = torch.where(has_area[:, :, None, None], result.pred_masks.squeeze(2), EMPTY_LOGIT)
        logits = nn.functional.interpolate(logits, size=(side, side), mode="bilinear")
        return logits.amax(dim=1, keepdim=True).sigmoid()


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return Sam2(build_image_model(variant, checkpoint))


def build_image_model(variant: str, checkpoint: Path | None) -> nn.Module:
    """Build the model of transformers, which accepts any prompts."""
    network = Sam2Model(config(*variant_of(VARIANTS, variant)))
    network.prompt_encoder.shared_embedding = network.shared_image_embedding  # shared, as in the authors' code
    return load_checkpoint(network, checkpoint, optional=(*VIDEO, COPY))


def config(
    side: int,
    channels: int,
    heads: int,
    blocks: list[int],
    global_blocks: list[int],
    windows: list[int],
    positions: int,
    width: int,
) -> Any:
    stages = [channels, 2 * channels, 4 * channels, 8 * channels]
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": channels,
        "num_attention_heads": heads,
        "image_size": [side, side],
        "window_positional_embedding_background_size": [positions, positions],
        "blocks_per_stage": blocks,
        "embed_dim_per_stage": stages,
        "num_attention_heads_per_stage": [heads, 2 * heads, 4 * heads, 8 * heads],
        "window_size_per_stage": windows,
        "global_attention_blocks": global_blocks,
    }
    return Sam2Config(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": stages[::-1],
            "backbone_feature_sizes": [[side // stride, side // stride] for stride in (4, 8, 16)],
            "fpn_hidden_size": width,
        },
        prompt_encoder_config={"hidden_size": width, "image_size": side},
        mask_decoder_config={"hidden_size": width, "mlp_dim": 8 * width, "iou_head_hidden_dim": width},
    )
