"""Judge what became of a damaged file. Each outcome is fine, or a violation of one of five bars.

* `death`: the decoder ended, or had to be ended.
* `slow`: header and picture took more than MAX_SECONDS.
* `memory`: the decoder held more than the worker reserved.
* `unnamed`: the error is `unexpected`, or none of the product's.
* `wrong`: the file was accepted, and the picture is neither the undamaged one nor what others see in the same bytes.

A picture is right if it is the one that the undamaged file holds, with or without its profile, its orientation and its
code points: then the damage hit nothing, or only what describes the picture, which never costs it. A file that was
only cut has to give that, or be refused: pixels that are not there cannot be right. Any other damage may show, as a
flipped byte in the data of a JPEG does, and no decoder can know it. Then the picture has to be what another decoder
makes of these bytes. If all others refuse the file, it is `wrong`: they have seen damage that we have not.

Decoders that share a library with the product's (libwebp, libheif, OpenJPEG) cannot disagree much. For BMP, OpenCV has
code of its own.

Others go by the major brand of a HEIF file alone. If damage hit it, they get the file with that of its format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cutstream.images import Image
from cutstream.images.colour_spaces import by_code_points, to_srgb
from cutstream.images.header import Header
from cutstream.images.headers.heif import BRANDS
from tests.corpus.decoding import UNEXPECTED, Outcome
from tests.corpus.mutants import Mutant
from tests.corpus.originals import original
from tests.support.pictures.opinions import Opinion, opinions
from tests.support.pictures.orientations import stored

MAX_SECONDS = 10.0
SAME = 1.5  # levels on average: the same picture
AGREED = 4.0  # levels on average: two decoders of the same damaged bytes


@dataclass(frozen=True)
class Verdict:
    """`violations` is empty for a fine outcome. `why` says how an accepted picture was found to be right or wrong."""

    violations: tuple[str, ...]
    why: str = ""


def judge(mutant: Mutant, outcome: Outcome, undamaged: Image) -> Verdict:
    violations = list(_limits_missed(outcome))
    why = ""
    if outcome.image is not None:
        right, why = _is_right(mutant, outcome.image, outcome.header, undamaged)
        violations += [] if right else ["wrong"]
    return Verdict(tuple(violations), why)


def limits_missed(outcome: Outcome) -> tuple[str, ...]:
    """Return the bars, other than `wrong`, that an outcome misses."""
    return tuple(_limits_missed(outcome))


def _limits_missed(outcome: Outcome) -> Iterator[str]:
    if outcome.died:
        yield "death"
    if outcome.seconds > MAX_SECONDS:
        yield "slow"
    if outcome.peak_bytes > outcome.reserved_bytes and outcome.header is not None:
        yield "memory"
    if outcome.code == UNEXPECTED:
        yield "unnamed"


def _is_right(mutant: Mutant, image: Image, header: Header | None, undamaged: Image) -> tuple[bool, str]:
    ours = (image.pixels, image.alpha)
    if distance(ours, (undamaged.pixels, undamaged.alpha)) <= SAME:
        return True, "undamaged"
    if _nearest(ours, mutant.format, original(mutant.name), header) <= AGREED:
        return True, "undamaged but for what describes it"
    if mutant.was_only_cut:
        return False, "pixels are missing, though the file was only cut"
    nearest = _nearest(ours, image.format, mutant.data, header)
    if nearest <= AGREED:
        return True, "as others see it"
    if nearest == np.inf:
        return False, "refused by all others, or of another size"
    return False, f"{nearest:.1f} levels from the nearest other decoder"


def _nearest(ours: Opinion, format: str, data: bytes, header: Header | None) -> float:
    """Return the distance to the nearest picture that another decoder makes of the bytes; infinite without any.

    None of them knows code points, so those that the product has found are applied to what they see.
    """
    space = None if header is None or header.colour is None else by_code_points(header.colour)
    nearest = np.inf
    if data[4:8] == b"ftyp" and data[8:12] not in BRANDS:
        data = data[:8] + format.encode() + data[12:]
    for _, opinion in opinions(format, data):
        if isinstance(opinion, Exception):
            continue
        candidates = [opinion] if space is None else [opinion, (to_srgb(opinion[0], space), opinion[1])]
        if format == "gif" and opinion[1] is None:  # Pillow fills what the first frame leaves free
            candidates.append((opinion[0], ours[1]))
        nearest = min([nearest, *(distance(ours, turned) for seen in candidates for turned in _turned(seen))])
        if nearest <= AGREED:
            break
    return float(nearest)


def _turned(picture: Opinion) -> Iterator[Opinion]:
    """Yield a picture in all eight orientations: damage may reach the one that is stated, where it is stated twice."""
    colours, alpha = picture
    for orientation in range(1, 9):
        yield stored(colours, orientation), None if alpha is None else stored(alpha, orientation)


def distance(one: Opinion, other: Opinion) -> float:
    """Return the mean difference in levels, colours counting as much as they are opaque; infinite if sizes differ."""
    if one[0].shape != other[0].shape:
        return float(np.inf)
    first, second = (np.full(pair[0].shape[:2], 255, np.uint8) if pair[1] is None else pair[1] for pair in (one, other))
    weight = np.maximum(first, second)[..., None] / 255
    colours = np.abs(one[0].astype(np.float32) - other[0]) * weight
    return float(max(colours.mean(), np.abs(first.astype(np.float32) - second).mean()))
