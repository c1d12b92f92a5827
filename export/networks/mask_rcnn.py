"""Mask R-CNN (K. He et al., ICCV 2017, arXiv 1703.06870) on ResNet and FPN, with torchvision's layers.

Checkpoint: torchvision's `maskrcnn_resnet50_fpn`, 91 classes of COCO (BSD-3-Clause).

Its steps between the layers are written anew, for a union of the people takes no suppression of overlapping boxes: that
has a size which depends on the picture, and engines dislike it. Overlapping proposals of one person give masks that lie
on each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d, roi_align

from export.networks import load, variant_of

PERSON = 1
PROPOSALS = 200  # of each level of the pyramid
MOST = 32  # people whose masks are made
LARGEST_STRETCH = 4.135  # ln(1000 / 16): of a box by its regression
# Classes, the picture's side, and the normalisation: frozen as published, or one that tests can settle.
VARIANTS: dict[str, tuple[str, int, int, type[nn.Module]]] = {
    "resnet50": ("resnet50", 91, 800, FrozenBatchNorm2d),
    "tiny": ("resnet18", 2, 128, nn.BatchNorm2d),
}


class MaskRcnn(nn.Module):
    """f32 N×3×S×S by ImageNet's mean and deviation → people N×1×S×S in 0..1."""

    anchors: Tensor

    def __init__(self, net: Any, side: int) -> None:
        super().__init__()
        self.net, self._side = net, side
        picture = torch.zeros(1, 3, side, side)
        with torch.no_grad():
            features = list(net.eval().backbone(picture).values())
            (anchors,) = net.rpn.anchor_generator(ImageList(picture, [(side, side)]), features)
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, normalised: Tensor) -> Tensor:
        levels = list(self.net.backbone(normalised).values())
        boxes = self._proposals(levels)
        odds, boxes = self._people(levels[:-1], boxes)
        heads = self.net.roi_heads
        masks = heads.mask_predictor(heads.mask_head(self._pooled(levels[:-1], boxes, 14)))[:, PERSON].sigmoid()
        side = masks.shape[-1]
        pasted = _pasted(masks.reshape(-1, side, side), boxes.flatten(0, 1), self._side // 2)
        shown = pasted.reshape(-1, MOST, *pasted.shape[1:]) * (odds > 0.0)[:, :, None, None]
        return interpolate(shown.amax(dim=1, keepdim=True), size=(self._side, self._side), mode="bilinear")

    def _proposals(self, levels: list[Tensor]) -> Tensor:
        """N×P×4 corners in px: the likeliest of each level."""
        chosen, first = [], 0
        for objectness, deltas in zip(*self.net.rpn.head(levels), strict=True):
            scores = objectness.permute(0, 2, 3, 1).flatten(1)
            count = scores.shape[1]
            rows, columns = objectness.shape[-2:]
            moves = deltas.reshape(-1, count // (rows * columns), 4, rows, columns).permute(0, 3, 4, 1, 2).flatten(1, 3)
            _, which = scores.topk(min(PROPOSALS, count), dim=1)
            anchors = self.anchors[first : first + count][which]
            chosen.append(self._moved(anchors, moves.gather(1, which[:, :, None].expand(-1, -1, 4))))
            first += count
        return torch.cat(chosen, dim=1)

    def _people(self, levels: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest people: N×K, by how much a person is likelier than all else (ln of the odds), boxes N×K×4."""
        heads = self.net.roi_heads
        logits, moves = heads.box_predictor(heads.box_head(self._pooled(levels, boxes, 7)))
        count = boxes.shape[1]
        others = torch.cat([logits[:, :PERSON], logits[:, PERSON + 1 :]], dim=1).logsumexp(dim=1)
        person = (logits[:, PERSON] - others).reshape(-1, count)
        moves = moves[:, 4 * PERSON : 4 * PERSON + 4].reshape(-1, count, 4)
        odds, which = person.topk(MOST, dim=1)
        which = which[:, :, None].expand(-1, -1, 4)
        weights = moves.new_tensor([10.0, 10.0, 5.0, 5.0])
        return odds, self._moved(boxes.gather(1, which), moves.gather(1, which) / weights)

    def _pooled(self, levels: list[Tensor], boxes: Tensor, side: int) -> Tensor:
        """(N·P)×C×side×side, each box from the level of the pyramid that its size belongs to."""
        count = boxes.shape[1]
        corners = boxes.flatten(0, 1)
        picture = torch.arange(boxes.shape[0]).unsqueeze(1).expand(-1, count).reshape(-1, 1)
        rois = torch.cat([picture.to(corners.dtype), corners], dim=1)
        size = ((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])).sqrt()
        level = (4.0 + torch.log2(size / 224.0 + 1e-6)).floor().clamp(2.0, 5.0) - 2.0
        pooled = torch.zeros(())
        for number, features in enumerate(levels):
            scale = features.shape[-1] / self._side
            here = (level == float(number)).to(features.dtype)[:, None, None, None]
            pooled = pooled + here * roi_align(features, rois, side, scale, sampling_ratio=2)
        return pooled

    def _moved(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Corners of boxes whose centres and sizes a regression has moved, cut at the picture's border."""
        size = boxes[..., 2:] - boxes[..., :2]
        centre = boxes[..., :2] + 0.5 * size + deltas[..., :2] * size
        half = 0.5 * size * deltas[..., 2:].clamp(max=LARGEST_STRETCH).exp()
        return torch.cat([centre - half, centre + half], dim=-1).clamp(0.0, float(self._side))


def _pasted(masks: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Masks M×m×m stretched over their boxes M×4 (px of twice the side) → M×side×side, 0 outside."""
    places = 2.0 * torch.arange(side, dtype=boxes.dtype) + 1.0
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    across = 2.0 * (places[None, :, None] - low) / (high - low).clamp(min=1.0) - 1.0  # M×side×2
    rows = across[:, :, None, 1].expand(-1, -1, side)
    columns = across[:, None, :, 0].expand(-1, side, -1)
    grid = torch.stack([columns, rows], dim=-1)
    return grid_sample(masks[:, None], grid, align_corners=False).squeeze(1)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    name, classes, side, norm = variant_of(VARIANTS, variant)
    backbone = resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=norm)
    return MaskRcnn(load(MaskRCNN(backbone, num_classes=classes), checkpoint), side)
