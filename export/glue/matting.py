"""Matting without a net: alpha as the solution of a linear system, which needs no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

EPSILON = 1e-4  # of the colours' covariance in a window, colours in 0..1; below it float32 is not exact enough
# Coarse to fine: each size's solution is where the next one starts.
STEPS = ((64, 30), (128, 30), (256, 30), (512, 30))


class ClosedForm(nn.Module):
    """u8 N×S×S×3 RGB and trimap N×S×S (0, 255 or unknown between) → matte u8 N×S×S.

    Closed-form matting (A. Levin, D. Lischinski, Y. Weiss, PAMI 2008) by conjugate gradients over the unknown pixels
    alone; what is known stays. The product with the matting Laplacian takes box filters instead of a matrix (K. He,
    J. Sun, X. Tang, CVPR 2010), so that the solver is a plain graph of a fixed number of steps.
    """

    def __init__(self, steps: tuple[tuple[int, int], ...] = STEPS, radius: int = 2) -> None:
        super().__init__()
        self._steps, self._radius = steps, radius

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        colours = image.permute(0, 3, 1, 2).float() / 255.0
        given = trimap.unsqueeze(1).float() / 255.0
        alpha: Tensor | None = None
        for side, steps in self._steps:
            small = interpolate(colours, size=(side, side), mode="area") if side < image.shape[1] else colours
            known = interpolate(given, size=(side, side), mode="area") if side < image.shape[1] else given
            start = known if alpha is None else interpolate(alpha, size=(side, side), mode="bilinear")
            alpha = solve(Laplacian(small, self._radius), known, start, steps)
        assert alpha is not None
        return (alpha.clamp(0.0, 1.0) * 255.0).round().squeeze(1).to(torch.uint8)


class Laplacian:
    """The matting Laplacian of pictures N×3×H×W in 0..1, over all windows of 2 · radius + 1 px that lie inside."""

    def __init__(self, colours: Tensor, radius: int, epsilon: float = EPSILON) -> None:
        self._side, self._colours = 2 * radius + 1, colours
        self._mean = self._windows(colours)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = torch.cat([colours[:, i : i + 1] * colours[:, j : j + 1] for i, j in pairs], dim=1)
        means = torch.cat([self._mean[:, i : i + 1] * self._mean[:, j : j + 1] for i, j in pairs], dim=1)
        self._inverse = _inverse(self._windows(products) - means, epsilon / self._side**2)
        self._count = self._pixels(torch.ones_like(self._mean[:, :1]))

    def __call__(self, alpha: Tensor) -> Tensor:
        """L · alpha / pixels of a window: what no local linear model of the colours explains of each pixel's alpha."""
        mean = self._windows(alpha)
        covariance = self._windows(self._colours * alpha) - self._mean * mean
        slope = _times(self._inverse, covariance)
        intercept = mean - (slope * self._mean).sum(dim=1, keepdim=True)
        explained = (self._pixels(slope) * self._colours).sum(dim=1, keepdim=True) + self._pixels(intercept)
        return self._count * alpha - explained

    def _windows(self, values: Tensor) -> Tensor:
        """Each window's mean."""
        return avg_pool2d(values, self._side, stride=1)

    def _pixels(self, values: Tensor) -> Tensor:
        """For each pixel the sum over the windows that it lies in, as a share of the most there can be."""
        border = self._side - 1
        return avg_pool2d(pad(values, (border, border, border, border)), self._side, stride=1)


def solve(laplacian: Laplacian, given: Tensor, start: Tensor, steps: int) -> Tensor:
    """alpha N×1×H×W: `given` where that is 0 or 1, and in between what makes alphaᵀ · L · alpha least."""
    unknown = ((given > 0.0) & (given < 1.0)).float()
    alpha = torch.where(unknown > 0.0, start, given)
    residual = -laplacian(alpha) * unknown
    direction, energy = residual, _dot(residual, residual)
    for _ in range(steps):
        product = laplacian(direction) * unknown
        step = energy / _dot(direction, product).clamp(min=1e-20)
        alpha = alpha + step * direction
        residual = residual - step * product
        left = _dot(residual, residual)
        direction = residual + left / energy.clamp(min=1e-20) * direction
        energy = left
    return alpha


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=(1, 2, 3), keepdim=True)


def _inverse(c: Tensor, epsilon: float) -> Tensor:
    """Of symmetric 3×3 matrices N×6×H×W (11 12 13 22 23 33) with `epsilon` added to their diagonals."""
    a, b, d, e, f, g = c.split(1, dim=1)
    a, e, g = a + epsilon, e + epsilon, g + epsilon
    minors = torch.cat([e * g - f * f, d * f - b * g, b * f - d * e, a * g - d * d, b * d - a * f, a * e - b * b], dim=1)
    determinant = a * minors[:, 0:1] + b * minors[:, 1:2] + d * minors[:, 2:3]
    return minors / determinant


def _times(c: Tensor, v: Tensor) -> Tensor:
    """The products of symmetric 3×3 matrices N×6×H×W with vectors N×3×H×W."""
    rows = (c[:, [0, 1, 2]], c[:, [1, 3, 4]], c[:, [2, 4, 5]])
    return torch.cat([(row * v).sum(dim=1, keepdim=True) for row in rows], dim=1)
