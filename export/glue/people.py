"""Detections, to a matte of the people by their masks, or to their boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PERSON = 0  # COCO's first class
CLASSES = 80
MOST = 32  # detections looked at; several are of the same person, whose masks then lie on each other
BOXES = 8  # people at most, where each gets a box


class PeopleOfDetections(nn.Module):
    """YOLO's segmentation heads of an image S×S → u8 N×S×S: the union of the masks of its people.

    `detections` f32 N×(4+80+M)×A: boxes as centre and size in px of the image, class scores, mask coefficients;
    `prototypes` f32 N×M×P×P. A detection counts if a person is its likeliest class and likelier than `confidence`.
    Without non-maximum suppression, which the union does not need. None found gives an empty matte.
    """

    confidence: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("confidence", torch.tensor(0.25))

    def forward(self, detections: Tensor, prototypes: Tensor) -> Tensor:
        side, stride = prototypes.shape[-1], 4.0  # prototypes are a quarter of the image
        best, which = _persons(detections).topk(MOST, dim=1)
        chosen = detections.gather(2, which[:, None].expand(-1, detections.shape[1], -1))  # N×(4+80+M)×K
        masks = torch.einsum("nmk,nmhw->nkhw", chosen[:, 4 + CLASSES :], prototypes).sigmoid()
        inside = _inside(chosen[:, :4] / stride, side)
        counted = (best > self.confidence)[:, :, None, None]
        people = (masks * inside * counted).amax(dim=1, keepdim=True)
        people = nn.functional.interpolate(people, scale_factor=stride, mode="bilinear")
        return (people.squeeze(1) * 255.0).round().to(torch.uint8)


class BoxesOfPeople(nn.Module):
    """YOLO's detections of an image S×S → f32 N×8×4: left, top, right and bottom of its likeliest people, in 0..1.

    `detections` and what counts as a person as for `PeopleOfDetections`. The likeliest first; of boxes whose overlap is
    half of their union, or more, the likelier one. Zeros where there are no more.
    """

    confidence: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("confidence", torch.tensor(0.25))

    def forward(self, detections: Tensor) -> Tensor:
        person = _persons(detections)
        left = person * (person > self.confidence)
        corners = _corners(detections[:, :4]) / _side(detections)
        picked = []
        for _ in range(BOXES):
            best, which = left.max(dim=1, keepdim=True)
            box = corners.gather(2, which[:, None].expand(-1, 4, -1))  # N×4×1
            picked.append(box * (best > 0.0)[:, None])
            left = left * ~_same(corners, box)
        return torch.cat(picked, dim=2).transpose(1, 2).clamp(0.0, 1.0)


def _persons(detections: Tensor) -> Tensor:
    """N×A: how likely a person is, 0 where another class is likelier."""
    scores = detections[:, 4 : 4 + CLASSES]
    person = scores[:, PERSON]
    return torch.where(person >= scores.amax(dim=1), person, torch.zeros_like(person))


def _side(detections: Tensor) -> float:
    """Of the image, which has a detection for every cell of 8, of 16 and of 32 px."""
    return float((detections.shape[-1] / (1 / 8**2 + 1 / 16**2 + 1 / 32**2)) ** 0.5)


def _corners(boxes: Tensor) -> Tensor:
    """N×4×A, centre and size → left, top, right and bottom."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _same(corners: Tensor, box: Tensor) -> Tensor:
    """N×A: whether the overlap with the box N×4×1 is half of the union, or more; without a division by no area."""
    sides = torch.minimum(corners[:, 2:], box[:, 2:]) - torch.maximum(corners[:, :2], box[:, :2])
    overlap = sides.clamp(min=0.0).prod(dim=1)
    return 3.0 * overlap >= _area(corners) + _area(box)


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).prod(dim=1)


def _inside(boxes: Tensor, side: int) -> Tensor:
    """N×4×K boxes → N×K×side×side, 1 for pixels whose centre lies in the box."""
    places = torch.arange(side, dtype=boxes.dtype) + 0.5
    across, down, width, height = (boxes[:, number, :, None] for number in range(4))
    columns = ((places - across).abs() <= width / 2).to(boxes.dtype)
    rows = ((places - down).abs() <= height / 2).to(boxes.dtype)
    return rows[:, :, :, None] * columns[:, :, None, :]
