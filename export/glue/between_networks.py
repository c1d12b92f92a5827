"""The steps between networks. Inputs and outputs are u8 maps N×H×W: 0 is background or far, 255 subject or near.

`export/glue/configure.py` finds thresholds and sweeps in the graphs by the names of the attributes here, and sets them
from the settings when the repository is rendered. Footprints are squares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SAMPLES = 64  # px, the side of the sample that Otsu's method works on
BINS = 256


class Sweep(nn.Module):
    """The largest value within `radius` px along rows and columns, or the smallest."""

    def __init__(self, radius: int, *, smallest: bool = False) -> None:
        super().__init__()
        self._sign = -1.0 if smallest else 1.0
        side = 2 * radius + 1
        self.rows = nn.MaxPool2d((side, 1), stride=1, padding=(radius, 0))
        self.columns = nn.MaxPool2d((1, side), stride=1, padding=(0, radius))

    def forward(self, values: Tensor) -> Tensor:
        return self._sign * self.columns(self.rows(self._sign * values))


class DepthForeground(nn.Module):
    """The near region, cut along the contours of the depth: M_D · (1 - B), closed and opened.

    M_D is 1 where the depth exceeds Otsu's threshold (N. Otsu, 1979) of a 64×64 sample. B is 1 where the Sobel
    gradient exceeds `edge_threshold`, dilated by the sweep `edge`; a step from far to near has gradient 1.
    """

    edge_threshold: Tensor
    sobel: Tensor
    levels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edge_threshold", torch.tensor(0.25))
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
        self.register_buffer("sobel", torch.stack([across, across.T])[:, None])
        self.register_buffer("levels", torch.arange(BINS, dtype=torch.float32))
        self.edge = Sweep(1)
        self.close = nn.Sequential(Sweep(1), Sweep(1, smallest=True))
        self.open = nn.Sequential(Sweep(1, smallest=True), Sweep(1))

    def forward(self, depth: Tensor) -> Tensor:
        nearness = depth.float().unsqueeze(1)
        near = (nearness > self._otsu(nearness)).float()
        foreground = self.open(self.close(near * (1.0 - self.edge(self._contour(nearness / 255.0)))))
        return (foreground * 255.0).squeeze(1).to(torch.uint8)

    def _contour(self, depth: Tensor) -> Tensor:
        bordered = nn.functional.pad(depth, (1, 1, 1, 1), mode="replicate")
        gradient = nn.functional.conv2d(bordered, self.sobel)
        return ((gradient * gradient).sum(dim=1, keepdim=True).sqrt() > self.edge_threshold).float()

    def _otsu(self, depth: Tensor) -> Tensor:
        """Return Otsu's threshold N×1×1×1, the level that maximises the variance between the two classes."""
        sample = nn.functional.interpolate(depth, size=(SAMPLES, SAMPLES), mode="nearest").flatten(1)
        darker = (sample[:, :, None] <= self.levels).float()  # N×4096×256
        share = darker.mean(dim=1)
        mass = (sample[:, :, None] * darker).mean(dim=1)
        spread = (sample.mean(dim=1, keepdim=True) * share - mass) ** 2 / (share * (1.0 - share)).clamp(min=1e-9)
        best, level = spread.max(dim=1)
        level = torch.where(best > 1.0, level.float(), BINS - 1.0)  # a flat depth has no near region
        return level.reshape(-1, 1, 1, 1)


class Intersection(nn.Module):
    """The minimum of both maps: MF = M_D ∩ M_S."""

    def forward(self, near: Tensor, semantics: Tensor) -> Tensor:
        return torch.minimum(near.float(), semantics.float()).to(torch.uint8)  # engines have no minimum of u8


class Trimap(nn.Module):
    """255 for certain subject, 0 for certain background, 128 for unknown, from an eroded and a dilated mask."""

    def __init__(self) -> None:
        super().__init__()
        self.erode = Sweep(1, smallest=True)
        self.dilate = Sweep(1)

    def forward(self, semantics: Tensor) -> Tensor:
        mask = (semantics.float().unsqueeze(1) >= 128.0).float()  # TensorRT moves no u8 values
        trimap = 128.0 * self.dilate(mask) + 127.0 * self.erode(mask)
        return trimap.squeeze(1).to(torch.uint8)
