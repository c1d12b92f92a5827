"""Guess the cause of a bad matte from how it misses the true mask."""

from __future__ import annotations

from cutstream.images import Matte
from cutstream.quality import subject

EMPTY_SHARE = 0.01  # a subject smaller than this share of the image counts as none
LOW = 0.5  # precision or recall


def likely_cause(profile: str, matte: Matte, truth: Matte) -> str:
    """Describe the likely cause in words; both arrays are u8 H×W."""
    predicted, wanted = subject(matte), subject(truth)
    if predicted.mean() < EMPTY_SHARE:
        return "no subject was found"
    precision = float(wanted[predicted].mean())
    recall = float(predicted[wanted].mean()) if wanted.any() else 1.0
    by_depth = profile.startswith("depth")
    if precision < LOW and recall < LOW:
        return "subject and background are at the same depth" if by_depth else "something else was cut out"
    if precision < LOW:
        return "the ground or a thing beside the subject is as near" if by_depth else "background was included"
    if recall < LOW:
        return "the subject extends into the distance, or its class is unknown" if by_depth else "parts are missing"
    return "the outline is coarse"
