"""Mask R-CNN (K. He et al., ICCV 2017, arXiv 1703.06870) on ResNet and FPN, with torchvision's layers.

Checkpoint: torchvision's `maskrcnn_resnet50_fpn`, 91 classes of COCO (BSD-3-Clause).

The steps between the layers are reimplemented without non-maximum suppression. Its output has a size that depends on
the image, which engines handle badly, and the union of the people does not need it: overlapping proposals of one person
give overlapping masks.
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

from export.networks import load_checkpoint, variant_of

PERSON = 1
PROPOSALS = 200  # per level of the pyramid
MAX_PEOPLE = 32  # for which masks are computed
MAX_LOG_SCALE = 4.135  # ln(1000 / 16), the largest change of a box's size by the regression
# Backbone, classes, the image's side in px, and the normalisation: frozen as published, or one that tests can adapt.
VARIANTS: dict[str, tuple[str, int, int, type[nn.Module]]] = {
    "resnet50": ("resnet50", 91, 800, FrozenBatchNorm2d),
    "tiny": ("resnet18", 2, 128, nn.BatchNorm2d),
}


class MaskRcnn(nn.Module):
    """f32 N×3×S×S with ImageNet's mean and deviation → people N×1×S×S in 0..1."""

    anchors: Tensor

    def __init__(self, network: Any, side: int) -> None:
        super().__init__()
        self.network, self._side = network, side
        image = torch.zeros(1, 3, side, side)
        with torch.no_grad():
            features = list(network.eval().backbone(image).values())
            (anchors,) = network.rpn.anchor_generator(ImageList(image, [(side, side)]), features)
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, normalised: Tensor) -> Tensor:
        levels = list(self.network.backbone(normalised).values())
        boxes = self._proposals(levels)
        odds, boxes = self._people(levels[:-1], boxes)
        heads = self.network.roi_heads
        masks = heads.mask_predictor(heads.mask_head(self._pool(levels[:-1], boxes, 14)))[:, PERSON].sigmoid()
        side = masks.shape[-1]
        pasted = _paste(masks.reshape(-1, side, side), boxes.flatten(0, 1), self._side // 2)
        visible = pasted.reshape(-1, MAX_PEOPLE, *pasted.shape[1:]) * (odds > 0.0)[:, :, None, None]
        return interpolate(visible.amax(dim=1, keepdim=True), size=(self._side, self._side), mode="bilinear")

    def _proposals(self, levels: list[Tensor]) -> Tensor:
        """Return the most likely boxes of each level as N×P×4 corners in px."""
        chosen, first = [], 0
        for objectness, deltas in zip(*self.network.rpn.head(levels), strict=True):
            scores = objectness.permute(0, 2, 3, 1).flatten(1)
            count = scores.shape[1]
            rows, columns = objectness.shape[-2:]
            moves = deltas.reshape(-1, count // (rows * columns), 4, rows, columns).permute(0, 3, 4, 1, 2).flatten(1, 3)
            _, which = scores.topk(min(PROPOSALS, count), dim=1)
            anchors = self.anchors[first : first + count][which]
            chosen.append(self._apply_deltas(anchors, moves.gather(1, which[:, :, None].expand(-1, -1, 4))))
            first += count
        return torch.cat(chosen, dim=1)

    def _people(self, levels: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the most likely people: the log odds of class person N×K, and boxes N×K×4."""
        heads = self.network.roi_heads
        logits, moves = heads.box_predictor(heads.box_head(self._pool(levels, boxes, 7)))
        count = boxes.shape[1]
        others = torch.cat([logits[:, :PERSON], logits[:, PERSON + 1 :]], dim=1).logsumexp(dim=1)
        person = (logits[:, PERSON] - others).reshape(-1, count)
        moves = moves[:, 4 * PERSON : 4 * PERSON + 4].reshape(-1, count, 4)
        odds, which = person.topk(MAX_PEOPLE, dim=1)
        which = which[:, :, None].expand(-1, -1, 4)
        weights = moves.new_tensor([10.0, 10.0, 5.0, 5.0])
        return odds, self._apply_deltas(boxes.gather(1, which), moves.gather(1, which) / weights)

    def _pool(self, levels: list[Tensor], boxes: Tensor, side: int) -> Tensor:
        """Pool the features of each box as (N·P)×C×side×side, from the level of the pyramid that fits its size."""
        count = boxes.shape[1]
        corners = boxes.flatten(0, 1)
        image = torch.arange(boxes.shape[0]).unsqueeze(1).expand(-1, count).reshape(-1, 1)
        rois = torch.cat([image.to(corners.dtype), corners], dim=1)
        size = ((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])).sqrt()
        level = (4.0 + torch.log2(size / 224.0 + 1e-6)).floor().clamp(2.0, 5.0) - 2.0
        pooled = torch.zeros(())
        for number, features in enumerate(levels):
            scale = features.shape[-1] / self._side
            here = (level == float(number)).to(features.dtype)[:, None, None, None]
            pooled = pooled + here * roi_align(features, rois, side, scale, sampling_ratio=2)
        return pooled

    def _apply_deltas(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Apply a regression to boxes. Return their corners, clipped to the image."""
        size = boxes[..., 2:] - boxes[..., :2]
        centre = boxes[..., :2] + 0.5 * size + deltas[..., :2] * size
        half = 0.5 * size * deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp()
        return torch.cat([centre - half, centre + half], dim=-1).clamp(0.0, float(self._side))


def _paste(masks: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Paste masks M×m×m into their boxes M×4 (px of twice the side) → M×side×side, 0 outside."""
    centres = 2.0 * torch.arange(side, dtype=boxes.dtype) + 1.0
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    across = 2.0 * (centres[None, :, None] - low) / (high - low).clamp(min=1.0) - 1.0  # M×side×2
    rows = across[:, :, None, 1].expand(-1, -1, side)
    columns = across[:, None, :, 0].expand(-1, side, -1)
    grid = torch.stack([columns, rows], dim=-1)
    return grid_sample(masks[:, None], grid, align_corners=False).squeeze(1)


def build(variant: str, checkpoint: Path | None) -> nn.Module:
    name, classes, side, norm = variant_of(VARIANTS, variant)
    backbone = resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=norm)
    return MaskRcnn(load_checkpoint(MaskRCNN(backbone, num_classes=classes), checkpoint), side)
