"""Photos with known alpha: a subject with a soft, frayed edge on a background of other colours."""

from __future__ import annotations

import cv2
import numpy as np

from cutstream.images import Image


def fur(height: int, width: int, seed: int = 0) -> tuple[Image, np.ndarray]:
    """Return a photo, u8 H×W×3, of a disc with hairs, and its alpha, u8 H×W."""
    rng = np.random.default_rng(seed)
    scale = min(height, width)
    canvas = np.zeros((4 * height, 4 * width), np.uint8)
    centre = np.array([2 * width, 2 * height])
    cv2.circle(canvas, centre.tolist(), int(4 * scale * 0.28), 255, -1)
    for angle in np.linspace(0, 2 * np.pi, 160, endpoint=False):
        turned = angle + rng.normal(0, 0.3)
        root = centre + 4 * scale * 0.26 * np.array([np.cos(angle), np.sin(angle)])
        tip = root + 4 * scale * rng.uniform(0.03, 0.08) * np.array([np.cos(turned), np.sin(turned)])
        cv2.line(canvas, root.astype(int).tolist(), tip.astype(int).tolist(), 255, max(1, scale // 80), cv2.LINE_AA)
    alpha = cv2.GaussianBlur(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    subject = _cloth(rng, height, width, (190, 130, 60))
    ground = _cloth(rng, height, width, (60, 90, 120))
    share = alpha[..., None] / 255
    return Image(np.rint(subject * share + ground * (1 - share)).astype(np.uint8)), alpha


def coarse(alpha: np.ndarray, radius: int) -> np.ndarray:
    """Return a matte as a network would make it: without hair, its edge roughly in the right place."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.GaussianBlur(cv2.morphologyEx(alpha, cv2.MORPH_OPEN, kernel), (0, 0), 1), np.uint8)


def _cloth(rng: np.random.Generator, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    shades = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 6)
    return np.clip(
        np.array(colour) + 12 * shades[..., None] / max(shades.std(), 1e-6) + rng.normal(0, 1, (height, width, 3)),
        0,
        255,
    )
