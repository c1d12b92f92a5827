"""The choice of the subject among all masks, on the served graph."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest

from export.profiles import glue_file
from tests.support.models import disc_of

MASKS, SIDE = 768, 64


def matte_of(logits: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Return the matte u8 N×4H×4W of fewer masks than the graph takes. The others are empty."""
    count, many, height, width = logits.shape
    everything = np.full((count, MASKS, height, width), -20, np.float32)
    everything[:, :many], guessed = logits, np.zeros((count, MASKS), np.float32)
    guessed[:, :many] = guesses
    session = onnxruntime.InferenceSession(glue_file("subject_of_everything"), providers=["CPUExecutionProvider"])
    return session.run(None, {"logits": everything, "guesses": guessed})[0]


def subject_of(*masks: tuple[np.ndarray, float]) -> np.ndarray:
    """Return the subject, bool H×W, of certain masks with their estimated IoU."""
    logits = np.stack([np.where(mask, 20.0, -20.0) for mask, _ in masks])[None]
    (matte,) = matte_of(logits, np.array([[guess for _, guess in masks]]))
    return matte[2::4, 2::4] >= 128


def disc(x: int, y: int, radius: int) -> np.ndarray:
    return disc_of((x, y), radius, SIDE)


def expected(logits: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Return the selected masks, bool K, by the definitions and OpenCV's suppression."""
    masks = logits > 0
    stable = (logits > 1).sum((1, 2)) / np.maximum((logits > -1).sum((1, 2)), 1)
    counted = np.flatnonzero((stable > 0.95) & (guesses > 0.8))
    spots = [cv2.boundingRect(masks[number].astype(np.uint8)) for number in counted]
    kept = counted[np.array(cv2.dnn.NMSBoxes(spots, guesses[counted].tolist(), 0.8, 0.7), int)] if len(spots) else []
    places = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    weights = np.exp(-0.5 * (places / 0.2) ** 2)
    worth = np.zeros(len(masks))
    for number in kept:
        mask = masks[number]
        ring = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        if ring.mean() <= 0.4:
            worth[number] = guesses[number] * (mask * np.outer(weights, weights)).sum()
    return (worth > 0) & (worth >= 0.5 * worth.max())


@pytest.mark.parametrize("seed", range(6))
def test_the_matte_is_the_union_of_the_masks_that_the_rule_takes(seed: int) -> None:
    """Blobs of all sizes and positions; many are nearly equal, like the masks of neighbouring points."""
    chooser = np.random.default_rng(seed)
    blobs = np.stack(
        [cv2.GaussianBlur(chooser.standard_normal((SIDE, SIDE)), (0, 0), sigma) for sigma in (3, 5, 7, 9, 11, 13)]
    )
    blobs /= blobs.std(axis=(1, 2), keepdims=True)
    levels, slopes = chooser.uniform(0, 1.5, 60), chooser.choice([50.0, 800.0], 60)
    logits = (blobs[chooser.integers(6, size=60)] - levels[:, None, None]) * slopes[:, None, None]
    guesses = chooser.uniform(0.7, 1, 60).astype(np.float32)
    taken = expected(logits.astype(np.float32), guesses)
    assert 0 < taken.sum() < 60
    union = np.where(taken[:, None, None], logits, -1e4).max(axis=0)
    wanted = cv2.resize(union, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_LINEAR)
    (matte,) = matte_of(logits[None], guesses[None])
    assert np.abs(matte - 255 / (1 + np.exp(-np.clip(wanted, -50, 50)))).max() <= 1


def test_the_subject_is_large_and_in_the_middle() -> None:
    middle, corner, speck = disc(32, 30, 14), disc(8, 56, 14), disc(40, 20, 3)
    assert np.array_equal(subject_of((corner, 0.99), (middle, 0.85), (speck, 0.99)), middle | speck & middle)


def test_two_that_matter_alike_are_both_the_subject() -> None:
    left, right = disc(20, 32, 10), disc(44, 32, 9)
    assert np.array_equal(subject_of((left, 0.9), (right, 0.9)), left | right)


def test_a_mask_along_the_frame_is_background() -> None:
    subject = disc(32, 32, 12)
    assert np.array_equal(subject_of((~subject, 0.99), (subject, 0.85)), subject)
    bust = disc(32, 60, 24)  # cut off below
    assert np.array_equal(subject_of((~bust, 0.99), (bust, 0.85)), bust)


def test_of_two_nearly_equal_masks_the_one_with_the_better_estimate_counts() -> None:
    small, large = disc(32, 32, 15), disc(32, 32, 16)
    assert np.array_equal(subject_of((large, 0.85), (small, 0.95)), small)
    assert np.array_equal(subject_of((large, 0.95), (small, 0.85)), large)


def test_a_dropped_mask_drops_no_other() -> None:
    """Three squares in a row, each overlapping only with the next. The middle one is dropped."""
    squares = [np.zeros((SIDE, SIDE), bool) for _ in range(3)]
    for number, square in enumerate(squares):
        square[22:42, 20 + 2 * number : 40 + 2 * number] = True
    first, _, last = squares
    assert np.array_equal(subject_of(*zip(squares, (0.95, 0.9, 0.85), strict=True)), first | last)


def test_masks_that_are_unlikely_or_unstable_do_not_count() -> None:
    mask = disc(32, 32, 14)
    assert not subject_of((mask, 0.8)).any()
    distance = 14 - np.hypot(*(np.mgrid[:SIDE, :SIDE] - 32))
    for slope, found in ((0.5, False), (10.0, True)):
        (matte,) = matte_of((distance * slope)[None, None], np.array([[0.9]]))
        assert matte.any() == found


def test_without_masks_the_matte_is_empty_beside_another_image() -> None:
    logits = np.stack([np.full((1, SIDE, SIDE), -20.0), np.where(disc(30, 30, 10), 20.0, -20.0)[None]])
    nothing, something = matte_of(logits, np.array([[0.99], [0.99]]))
    assert not nothing.any()
    assert np.array_equal(something[2::4, 2::4] >= 128, disc(30, 30, 10))
