"""From the masks of everything in a picture to the one matte of its subject."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALE = 4.0  # masks are a quarter of the picture
OFFSET = 1.0  # how far the logit that cuts a mask out is moved to see how stable it is
DEVIATION = 0.2  # of the Gaussian that says how central a pixel is, as a share of the picture's sides
ROUNDS = 16  # of 300 draws of 768 boxes around up to 120 objects none took more than 9
NOWHERE = -1e4  # a logit whose probability is 0


class SubjectOfEverything(nn.Module):
    """Logits of masks f32 N×K×H×W and the net's guesses of their IoU N×K → matte u8 N×4H×4W.

    The masks that count are those of the authors' automatic mask generator (A. Kirillov et al., 2023, arXiv 2304.02643,
    and SAM 2's): guessed better than `likely`, more `stable`, and of those whose boxes overlap by more than `overlap`
    the one guessed best. Which of them are the subject is a rule of thumb that knows no truth: a mask along more than
    `border` of the picture's frame is background; of the others each is worth its guess × its area × how central it is;
    the subject is the union of those worth at least `share` of the best. None gives an empty matte.
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
        # Of 1,690 photos' true masks 2 touch more, and of what is not in the mask all do.
        self.register_buffer("border", torch.tensor(0.4))
        self.register_buffer("share", torch.tensor(0.5))

    def forward(self, logits: Tensor, guesses: Tensor) -> Tensor:
        counted = (guesses > self.likely) & (stability(logits) > self.stable)
        kept = suppressed(boxes(logits), guesses * counted, self.overlap)
        worth = guesses * kept * central_area(logits) * (border_share(logits) <= self.border)
        subject = (worth > 0.0) & (worth >= self.share * worth.amax(dim=1, keepdim=True))
        union = torch.where(subject[:, :, None, None], logits, NOWHERE).amax(dim=1, keepdim=True)
        matte = nn.functional.interpolate(union, scale_factor=SCALE, mode="bilinear").sigmoid()
        return (matte.squeeze(1) * 255.0).round().to(torch.uint8)


def stability(logits: Tensor) -> Tensor:
    """N×K: the IoU of the masks cut out `OFFSET` above and below; 0 where there is none."""
    narrow = (logits > OFFSET).float().sum(dim=(2, 3))
    wide = (logits > -OFFSET).float().sum(dim=(2, 3))
    return narrow / wide.clamp(min=1.0)


def boxes(logits: Tensor) -> Tensor:
    """N×4×K, px of the masks: left, top, right and bottom of each one; without an area where there is none."""
    left, right = _ends(logits.amax(dim=2) > 0.0)
    top, bottom = _ends(logits.amax(dim=3) > 0.0)
    return torch.stack([left, top, right, bottom], dim=1)


def suppressed(corners: Tensor, scores: Tensor, overlap: Tensor) -> Tensor:
    """bool N×K: the boxes that are left when each, the best first, drops those that overlap with it; ties by place.

    Boxes with a score of 0 are not there. All at once, and again: a round settles those that only settled ones could
    drop, so that a plain graph comes to what one box after the other does.
    """
    place = torch.arange(scores.shape[1])
    one, other = scores.unsqueeze(2), scores.unsqueeze(1)
    first = (one > other) | ((one == other) & (place[:, None] < place))
    drops = (first & (_iou(corners) > overlap)).float()  # N×K×K, a row what the one drops
    there = scores > 0.0
    kept = there
    for _ in range(ROUNDS):
        kept = there & ((kept.float().unsqueeze(1) @ drops).squeeze(1) == 0.0)
    return kept


def central_area(logits: Tensor) -> Tensor:
    """N×K: the sum over a mask's pixels of how central each is, 1 in the middle of the picture."""
    down, across = _centrality(logits.shape[2]), _centrality(logits.shape[3])
    return ((logits > 0.0).float() @ across @ down.unsqueeze(1)).squeeze(2)


def border_share(logits: Tensor) -> Tensor:
    """N×K: the share of the picture's outermost pixels that a mask holds, corners counted for both sides."""
    ring = torch.cat([logits[:, :, 0], logits[:, :, -1], logits[:, :, :, 0], logits[:, :, :, -1]], dim=2)
    return (ring > 0.0).float().mean(dim=2)


def _ends(inside: Tensor) -> tuple[Tensor, Tensor]:
    """N×K×L → the first place of each that is inside, and the one behind the last; L and 0 where none is."""
    length = inside.shape[2]
    places = torch.arange(length, dtype=torch.float32)
    first = torch.where(inside, places, float(length)).amin(dim=2)
    behind = torch.where(inside, places + 1.0, 0.0).amax(dim=2)
    return first, behind


def _iou(corners: Tensor) -> Tensor:
    """N×K×K: of each of the boxes N×4×K with each."""
    one, other = corners.unsqueeze(3), corners.unsqueeze(2)
    sides = torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])
    both = sides.clamp(min=0.0).prod(dim=1)
    area = _area(corners)
    return both / (area.unsqueeze(2) + area.unsqueeze(1) - both).clamp(min=1.0)


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).clamp(min=0.0).prod(dim=1)


def _centrality(length: int) -> Tensor:
    places = (torch.arange(length, dtype=torch.float32) + 0.5) / length - 0.5
    return torch.exp(-0.5 * (places / DEVIATION) ** 2)
