"""SAM 2 (N. Ravi et al., 2024, arXiv 2408.00714) in automatic mode: the masks at each point of a regular grid.

The grid is that of the authors' automatic mask generator. The post-processing in `export/glue/subject_of_everything.py`
selects the masks. Variants and checkpoints are those of `export/networks/sam2.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.networks.sam2 import build_image_model

# Points per side of the grid. The authors use 32×32 points. Each point is a pass of the decoder, so a quarter of them
# takes a quarter of the time, and misses objects smaller than a sixteenth of the image.
POINTS = 16
CHUNK = 32  # points per call of the decoder, which repeats its work on the image for each point


class Everything(nn.Module):
    """SAM 2 prompted by 16×16 points: three masks for each point.

    `normalised` f32 N×3×S×S with ImageNet's mean and deviation → the masks' logits N×768×S/4×S/4, and the network's
    estimates of their IoU N×768, 0..1.
    """

    points: Tensor

    def __init__(self, network: Any, chunk: int = CHUNK) -> None:
        super().__init__()
        self.network, self._chunk = network, chunk
        positions = (torch.arange(POINTS) + 0.5) / POINTS
        down, across = torch.meshgrid(positions, positions, indexing="ij")
        self.register_buffer("points", torch.stack([across, down], dim=-1).reshape(-1, 2), persistent=False)

    def forward(self, normalised: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.network.get_image_embeddings(normalised)
        results = [self._prompt(points, maps) for points in torch.split(self.points, self._chunk)]
        masks, guesses = zip(*results, strict=True)
        return torch.cat(masks, dim=1), torch.cat(guesses, dim=1)

    def _prompt(self, points: Tensor, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return masks N×3P×S/4×S/4 and estimates N×3P for the points P×2, which are relative to the image, 0..1.

        Each point is passed as an image of its own. As prompts of one image, each would get a copy of the position
        embedding, a constant, and engines would store gigabytes of it.
        """
        count, many, side = maps[-1].shape[0], len(points), self.network.prompt_encoder.input_image_size
        labels = torch.ones(1, many, 1, dtype=torch.int32)
        prompts, no_mask = self.network.prompt_encoder((points * side)[None, :, None], labels, None, None)
        repeated = [level.repeat_interleave(many, dim=0) for level in maps]
        masks, guesses, _, _ = self.network.mask_decoder(
            image_embeddings=repeated[-1],
            image_positional_embeddings=self.network.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=prompts.transpose(0, 1).repeat(count, 1, 1, 1),
            dense_prompt_embeddings=no_mask,
            multimask_output=True,
            high_resolution_features=repeated[:-1],
        )
        return masks.reshape(count, -1, *masks.shape[-2:]), guesses.reshape(count, -1)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return Everything(build_image_model(variant, checkpoint), 128 if variant == "tiny" else CHUNK)
