"""Pre- and post-processing: u8 pixels to a network's own input, and its raw output to u8 levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ANY_SIZE = (60, 80)  # height and width of the exported resize graphs; `load_resize` finds the constant by them


class U2netNormalise(nn.Module):
    """u8 N×H×W×3 RGB → f32 N×3×H×W: divided by the image's own maximum, then ImageNet mean and deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]))

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.float()
        brightest = pixels.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1.0)  # a black image stays black
        return ((pixels / brightest - self.mean) / self.deviation).permute(0, 3, 1, 2)


class Normalise(nn.Module):
    """u8 N×H×W×3 RGB → f32 N×3×H×W: (x - mean) / deviation per channel.

    `bgr` reverses the channels at the end; without `planes` the layout stays N×H×W×3.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, mean: Sequence[float], deviation: Sequence[float], *, bgr: bool = False, planes: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))
        self._bgr, self._planes = bgr, planes

    def forward(self, image: Tensor) -> Tensor:
        pixels = (image.float() - self.mean) / self.deviation
        if self._bgr:
            pixels = pixels.flip(-1)
        return pixels.permute(0, 3, 1, 2) if self._planes else pixels


class NormaliseWithTrimap(nn.Module):
    """u8 N×H×W×3 RGB and trimap N×H×W → f32 N×4×H×W: colours in -1..1, the trimap in 0..1."""

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        colours = (image.float() / 127.5 - 1.0).permute(0, 3, 1, 2)
        return torch.cat([colours, trimap.float().unsqueeze(1) / 255.0], dim=1)


class StretchLevels(nn.Module):
    """f32 N×1×H×W → u8 N×H×W: each map stretched from its minimum to its maximum, rounded."""

    def forward(self, values: Tensor) -> Tensor:
        values = values.squeeze(1)
        low = values.amin(dim=(1, 2), keepdim=True)
        high = values.amax(dim=(1, 2), keepdim=True)
        stretched = (values - low) / (high - low).clamp(min=1e-6)  # a constant map is all background
        return _levels(stretched)


class AlphaLevels(nn.Module):
    """f32 alpha N×1×H×W, or N×H×W×1 without `planes` → u8 N×H×W: clamped to 0..1 and rounded."""

    def __init__(self, *, planes: bool = True) -> None:
        super().__init__()
        self._axis = 1 if planes else 3

    def forward(self, alpha: Tensor) -> Tensor:
        return _levels(alpha.squeeze(self._axis).clamp(0.0, 1.0))


class ClassForeground(nn.Module):
    """f32 class scores N×C×H×W, the background first → u8 N×H×W: the probability of any other class."""

    def forward(self, scores: Tensor) -> Tensor:
        return _levels(1.0 - scores.softmax(dim=1)[:, 0])


class SubjectProbability(nn.Module):
    """f32 N×2×H×W, probabilities of background and subject → u8 N×H×W of the subject."""

    def forward(self, probabilities: Tensor) -> Tensor:
        return _levels(probabilities[:, 1])


class Resize(nn.Module):
    """u8 N×H×W×3 or N×H×W → the size that `load_resize` sets: bilinear, with OpenCV's pixel centres."""

    def forward(self, values: Tensor) -> Tensor:
        is_image = values.dim() == 4
        levels = values.float()  # first, because TensorRT moves no u8 values
        planes = levels.permute(0, 3, 1, 2) if is_image else levels.unsqueeze(1)
        resized = nn.functional.interpolate(planes, size=ANY_SIZE, mode="bilinear").round()
        return (resized.permute(0, 2, 3, 1) if is_image else resized.squeeze(1)).to(torch.uint8)


def _levels(shares: Tensor) -> Tensor:
    return (shares * 255.0).round().to(torch.uint8)
