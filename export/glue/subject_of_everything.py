"""Post-processing of segment-everything networks: from the masks of all objects to one matte of the subject."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALE = 4.0  # masks have a quarter of the image's side
OFFSET = 1.0  # the stability test moves the threshold of the logits by this much, up and down
DEVIATION = 0.2  # of the Gaussian that weights pixels by how central they are, as a share of the image's sides
ROUNDS = 16  # of suppression; none of 300 draws of 768 boxes around up to 120 objects needed more than 9
EMPTY_LOGIT = -1e4  # its probability is 0


class SubjectOfEverything(nn.Module):
    """Mask logits f32 N×K×H×W and the network's estimates of their IoU N×K (`guesses`) → matte u8 N×4H×4W.

    The masks are filtered as in the authors' automatic mask generator (A. Kirillov et al., 2023, arXiv 2304.02643, and
    SAM 2): the estimate must exceed `likely` and the stability must exceed `stable`; non-maximum suppression drops
    masks whose boxes overlap by more than `overlap`.

    A heuristic then chooses the subject. A mask along more than `border` of the image's frame is background. The score
    of each other mask is its estimate × its area × its centrality. The subject is the union of the masks whose score is
    at least `share` of the best. Without masks the matte is empty.
    """

    likely: Tensor
    stable: Tensor
    overlap: Tensor
    border: Tensor
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("likely", torch.tensor(0.8))
        self.register_buffer("stable", torch.tensor(0.95))
        self.register_buffer("overlap", torch.tensor(0.7))
        # In 1,690 photos, 2 true masks touch more of the frame than this, and every background does.
        self.register_buffer("border", torch.tensor(0.4))
        self.register_buffer("share", torch.tensor(0.5))

    def forward(self, logits: Tensor, guesses: Tensor) -> Tensor:
        plausible = (guesses > self.likely) & (stability(logits) > self.stable)
        kept = suppress(boxes(logits), guesses * plausible, self.overlap)
        score = guesses * kept * central_area(logits) * (border_share(logits) <= self.border)
        subject = (score > 0.0) & (score >= self.share * score.amax(dim=1, keepdim=True))
        union = torch.where(subject[:, :, None, None], logits, EMPTY_LOGIT).amax(dim=1, keepdim=True)
        matte = nn.functional.interpolate(union, scale_factor=SCALE, mode="bilinear").sigmoid()
        return (matte.squeeze(1) * 255.0).round().to(torch.uint8)


def stability(logits: Tensor) -> Tensor:
    """Return the IoU of each mask thresholded at `OFFSET` and at -`OFFSET`, N×K; 0 for empty masks."""
    narrow = (logits > OFFSET).float().sum(dim=(2, 3))
    wide = (logits > -OFFSET).float().sum(dim=(2, 3))
    return narrow / wide.clamp(min=1.0)


def boxes(logits: Tensor) -> Tensor:
    """Return the masks' bounding boxes N×4×K: left, top, right, bottom in px. Empty masks get boxes without area."""
    left, right = _ends(logits.amax(dim=2) > 0.0)
    top, bottom = _ends(logits.amax(dim=3) > 0.0)
    return torch.stack([left, top, right, bottom], dim=1)


def suppress(corners: Tensor, scores: Tensor, overlap: Tensor) -> Tensor:
    """Suppress non-maximum boxes: return bool N×K, True for the boxes that stay.

    In order of score, each box drops the later ones that overlap with it; among equal scores the first comes first.
    Boxes with a score of 0 do not count. All boxes are updated at once, `ROUNDS` times: each round settles the boxes
    whose potential suppressors are settled, so that a plain graph gets the result of the sequential algorithm.
    """
    index = torch.arange(scores.shape[1])
    row, column = scores.unsqueeze(2), scores.unsqueeze(1)
    first = (row > column) | ((row == column) & (index[:, None] < index))
    drops = (first & (_iou(corners) > overlap)).float()  # N×K×K, row i marks the boxes that box i drops
    present = scores > 0.0
    kept = present
    for _ in range(ROUNDS):
        kept = present & ((kept.float().unsqueeze(1) @ drops).squeeze(1) == 0.0)
    return kept


def central_area(logits: Tensor) -> Tensor:
    """Return each mask's area weighted by centrality, N×K. The weight is 1 in the middle of the image."""
    down, across = _centrality(logits.shape[2]), _centrality(logits.shape[3])
    return ((logits > 0.0).float() @ across @ down.unsqueeze(1)).squeeze(2)


def border_share(logits: Tensor) -> Tensor:
    """Return the share of the image's outermost pixels inside each mask, N×K. Corners count for both sides."""
    ring = torch.cat([logits[:, :, 0], logits[:, :, -1], logits[:, :, :, 0], logits[:, :, :, -1]], dim=2)
    return (ring > 0.0).float().mean(dim=2)


def _ends(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first index inside and the index after the last, N×K each, for N×K×L; L and 0 if none is inside."""
    length = inside.shape[2]
    indices = torch.arange(length, dtype=torch.float32)
    first = torch.where(inside, indices, float(length)).amin(dim=2)
    end = torch.where(inside, indices + 1.0, 0.0).amax(dim=2)
    return first, end


def _iou(corners: Tensor) -> Tensor:
    """Return the IoU of each pair of boxes, N×K×K for N×4×K."""
    row, column = corners.unsqueeze(3), corners.unsqueeze(2)
    sides = torch.minimum(row[:, 2:], column[:, 2:]) - torch.maximum(row[:, :2], column[:, :2])
    intersection = sides.clamp(min=0.0).prod(dim=1)
    area = _area(corners)
    return intersection / (area.unsqueeze(2) + area.unsqueeze(1) - intersection).clamp(min=1.0)


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).clamp(min=0.0).prod(dim=1)


def _centrality(length: int) -> Tensor:
    positions = (torch.arange(length, dtype=torch.float32) + 0.5) / length - 0.5
    return torch.exp(-0.5 * (positions / DEVIATION) ** 2)
