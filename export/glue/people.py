"""Post-processing of person detections: a matte from their masks, or their boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PERSON = 0  # COCO's first class
CLASSES = 80
MAX_DETECTIONS = 32  # several may be of the same person; their masks overlap
MAX_BOXES = 8


class PeopleMatte(nn.Module):
    """YOLO's segmentation heads for an image S×S → u8 N×S×S: the union of the masks of its people.

    `detections` f32 N×(4+80+M)×A holds boxes (centre and size in px of the image), class scores and mask coefficients;
    `prototypes` is f32 N×M×P×P. A detection counts if person is its most likely class and exceeds `confidence`. The
    union needs no non-maximum suppression. Without people the matte is empty.
    """

    confidence: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("confidence", torch.tensor(0.25))

    def forward(self, detections: Tensor, prototypes: Tensor) -> Tensor:
        side, stride = prototypes.shape[-1], 4.0  # prototypes are a quarter of the image
        best, which = _persons(detections).topk(MAX_DETECTIONS, dim=1)
        chosen = detections.gather(2, which[:, None].expand(-1, detections.shape[1], -1))  # N×(4+80+M)×K
        masks = torch.einsum("nmk,nmhw->nkhw", chosen[:, 4 + CLASSES :], prototypes).sigmoid()
        inside = _inside(chosen[:, :4] / stride, side)
        counted = (best > self.confidence)[:, :, None, None]
        people = (masks * inside * counted).amax(dim=1, keepdim=True)
        people = nn.functional.interpolate(people, scale_factor=stride, mode="bilinear")
        return (people.squeeze(1) * 255.0).round().to(torch.uint8)


class PeopleBoxes(nn.Module):
    """YOLO's detections for an image S×S → f32 N×8×4: left, top, right, bottom of its most likely people, in 0..1.

    `detections` and the rule for people are those of `PeopleMatte`. The most likely person comes first. Non-maximum
    suppression drops boxes with an IoU of 0.5 or more. Unused boxes are zeros.
    """

    confidence: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("confidence", torch.tensor(0.25))

    def forward(self, detections: Tensor) -> Tensor:
        person = _persons(detections)
        remaining = person * (person > self.confidence)
        corners = _corners(detections[:, :4]) / _side(detections)
        picked = []
        for _ in range(MAX_BOXES):
            best, which = remaining.max(dim=1, keepdim=True)
            box = corners.gather(2, which[:, None].expand(-1, 4, -1))  # N×4×1
            picked.append(box * (best > 0.0)[:, None])
            remaining = remaining * ~_overlaps(corners, box)
        return torch.cat(picked, dim=2).transpose(1, 2).clamp(0.0, 1.0)


def _persons(detections: Tensor) -> Tensor:
    """Return the scores for person, N×A, with 0 where another class is more likely."""
    scores = detections[:, 4 : 4 + CLASSES]
    person = scores[:, PERSON]
    return torch.where(person >= scores.amax(dim=1), person, torch.zeros_like(person))


def _side(detections: Tensor) -> float:
    """Return the side of the image, px. It has a detection for every cell of 8, of 16 and of 32 px."""
    return float((detections.shape[-1] / (1 / 8**2 + 1 / 16**2 + 1 / 32**2)) ** 0.5)


def _corners(boxes: Tensor) -> Tensor:
    """Convert boxes N×4×A from centre and size to left, top, right and bottom."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _overlaps(corners: Tensor, box: Tensor) -> Tensor:
    """Test for an IoU of 0.5 or more with the box N×4×1, as bool N×A. Boxes may have no area."""
    sides = torch.minimum(corners[:, 2:], box[:, 2:]) - torch.maximum(corners[:, :2], box[:, :2])
    overlap = sides.clamp(min=0.0).prod(dim=1)
    return 3.0 * overlap >= _area(corners) + _area(box)


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).prod(dim=1)


def _inside(boxes: Tensor, side: int) -> Tensor:
    """Draw boxes N×4×K as N×K×side×side, 1 for pixels whose centre lies in the box."""
    centres = torch.arange(side, dtype=boxes.dtype) + 0.5
    across, down, width, height = (boxes[:, number, :, None] for number in range(4))
    columns = ((centres - across).abs() <= width / 2).to(boxes.dtype)
    rows = ((centres - down).abs() <= height / 2).to(boxes.dtype)
    return rows[:, :, :, None] * columns[:, :, None, :]
