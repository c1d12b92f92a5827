"""SAM 2 (N. Ravi et al., 2024, arXiv 2408.00714) asked for everything: the masks at each point of a regular grid.

As the authors' automatic mask generator asks it; which masks count is decided behind the net, by
`export/glue/everything.py`. Variants and checkpoints as for the boxes (`export/networks/sam2.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.networks.sam2 import of_pictures

# Of the grid's side. The authors ask at 32×32 points; each costs a pass of the decoder, so that a quarter of
# them takes a quarter of the time, and misses what is smaller than a sixteenth of the picture.
POINTS = 16
AT_ONCE = 32  # points that the decoder takes together: what it computes of the picture it computes for each of them


class Everything(nn.Module):
    """`normalised` f32 N×3×S×S by ImageNet's mean and deviation → what is at 16×16 points, three masks for each.

    The masks' logits N×768×S/4×S/4, the picture's shape, and the net's own guess of each one's IoU N×768, 0..1.
    """

    points: Tensor

    def __init__(self, net: Any, at_once: int = AT_ONCE) -> None:
        super().__init__()
        self.net, self._at_once = net, at_once
        places = (torch.arange(POINTS) + 0.5) / POINTS
        down, across = torch.meshgrid(places, places, indexing="ij")
        self.register_buffer("points", torch.stack([across, down], dim=-1).reshape(-1, 2), persistent=False)

    def forward(self, normalised: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.net.get_image_embeddings(normalised)
        asked = [self._ask(points, maps) for points in torch.split(self.points, self._at_once)]
        masks, guesses = zip(*asked, strict=True)
        return torch.cat(masks, dim=1), torch.cat(guesses, dim=1)

    def _ask(self, points: Tensor, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Masks N×3P×S/4×S/4 and guesses N×3P at the points P×2, as shares of the picture.

        Each point counts as a picture of its own: as prompts of one picture they would each have a copy of the places'
        embedding, a constant, which engines would keep by the gigabyte.
        """
        count, many, side = maps[-1].shape[0], len(points), self.net.prompt_encoder.input_image_size
        labels = torch.ones(1, many, 1, dtype=torch.int32)
        prompts, nothing_drawn = self.net.prompt_encoder((points * side)[None, :, None], labels, None, None)
        of_points = [one.repeat_interleave(many, dim=0) for one in maps]
        masks, guesses, _, _ = self.net.mask_decoder(
            image_embeddings=of_points[-1],
            image_positional_embeddings=self.net.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=prompts.transpose(0, 1).repeat(count, 1, 1, 1),
            dense_prompt_embeddings=nothing_drawn,
            multimask_output=True,
            high_resolution_features=of_points[:-1],
        )
        return masks.reshape(count, -1, *masks.shape[-2:]), guesses.reshape(count, -1)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    return Everything(of_pictures(variant, checkpoint), 128 if variant == "tiny" else AT_ONCE)
