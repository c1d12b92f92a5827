"""Detections and their masks, to a matte of the people."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PERSON = 0  # COCO's first class
CLASSES = 80
MOST = 32  # detections looked at; several are of the same person, whose masks then lie on each other


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
        scores = detections[:, 4 : 4 + CLASSES]
        person = scores[:, PERSON]
        person = torch.where(person >= scores.amax(dim=1), person, torch.zeros_like(person))
        best, which = person.topk(MOST, dim=1)
        chosen = detections.gather(2, which[:, None].expand(-1, detections.shape[1], -1))  # N×(4+80+M)×K
        masks = torch.einsum("nmk,nmhw->nkhw", chosen[:, 4 + CLASSES :], prototypes).sigmoid()
        inside = _inside(chosen[:, :4] / stride, side)
        counted = (best > self.confidence)[:, :, None, None]
        people = (masks * inside * counted).amax(dim=1, keepdim=True)
        people = nn.functional.interpolate(people, scale_factor=stride, mode="bilinear")
        return (people.squeeze(1) * 255.0).round().to(torch.uint8)


def _inside(boxes: Tensor, side: int) -> Tensor:
    """N×4×K boxes → N×K×side×side, 1 for pixels whose centre lies in the box."""
    places = torch.arange(side, dtype=boxes.dtype) + 0.5
    across, down, width, height = (boxes[:, number, :, None] for number in range(4))
    columns = ((places - across).abs() <= width / 2).to(boxes.dtype)
    rows = ((places - down).abs() <= height / 2).to(boxes.dtype)
    return rows[:, :, :, None] * columns[:, :, None, :]
