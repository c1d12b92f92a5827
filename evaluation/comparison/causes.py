"""The likely cause of a bad matte, in words, from how it misses the truth."""

from __future__ import annotations

from cutstream.images import Matte
from cutstream.quality import subject

FEW = 0.01
HALF = 0.5


def likely_cause(profile: str, matte: Matte, truth: Matte) -> str:
    found, wanted = subject(matte), subject(truth)
    if found.mean() < FEW:
        return "nothing was found"
    precision, recall = float(wanted[found].mean()), float(found[wanted].mean()) if wanted.any() else 1.0
    by_depth = profile.startswith("depth")
    if precision < HALF and recall < HALF:
        return "subject and background lie at the same depth" if by_depth else "something else was taken for it"
    if precision < HALF:
        return "the ground or what stands beside is as near" if by_depth else "background was taken along"
    if recall < HALF:
        return "the subject reaches into the distance, or its class is unknown" if by_depth else "parts are missing"
    return "its outline is coarse"
