"""JPEG 2000 cases: files with boxes (jp2) and bare code streams (j2k). Source: ITU-T T.800, annex A and I."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import LOSSY, ONE_LEVEL, Case, case, refused
from tests.support.pictures.truth import grey, matte, photo, to_depth

DEEP = (10, 12) if find_spec("imagecodecs") else ()  # there is none for Python 3.10
DAMAGED = "failed_to_read_image"


def jpeg2000(samples: NDArray[Any], **options: Any) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(samples).save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


def _deep(samples: NDArray[Any], bits: int) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg2k_encode(samples.astype(np.uint16), bitspersample=bits, level=0, codecformat="jp2"))


def cases() -> Iterator[Case]:
    pictures: dict[str, tuple[NDArray[Any], NDArray[Any], Any]] = {
        "grey": (grey(), grey(), None),
        "rgb": (photo(), photo(), None),
        "grey-alpha": (np.dstack([grey(), matte()]), grey(), matte()),
        "rgba": (np.dstack([photo(), matte()]), photo(), matte()),
    }
    for name, (samples, colours, alpha) in pictures.items():
        for boxed in (True, False):
            if alpha is not None and not boxed:  # a bare stream has no way to say what its last component is
                continue
            kind = "" if boxed else "-bare"
            yield case(f"jpeg2000/{name}{kind}", partial(jpeg2000, samples, no_jp2=not boxed), colours, alpha)
    deep = to_depth(grey(), 16).astype(np.uint16)
    for boxed in (True, False):
        name = f"jpeg2000/grey-16bit{'' if boxed else '-bare'}"
        yield case(name, partial(jpeg2000, deep, no_jp2=not boxed), grey(), tolerance=ONE_LEVEL)
    for bits in DEEP:
        for name, samples, colours in (("grey", grey(), grey()), ("rgb", photo(), photo())):
            build = partial(_deep, to_depth(samples, bits), bits)
            yield case(f"jpeg2000/{name}-{bits}bit", build, colours, tolerance=ONE_LEVEL)
    for name, options in {
        "tiles": {"tile_size": (16, 16)},
        "layers": {"quality_mode": "rates", "quality_layers": [4, 1]},
        "resolutions-1": {"num_resolutions": 1},
        "progression-cprl": {"progression": "CPRL"},
        "no-colour-transform": {"mct": 0},
    }.items():
        yield case(f"jpeg2000/{name}", partial(jpeg2000, photo(), **options), photo())
    lossy = {"irreversible": True, "quality_mode": "dB", "quality_layers": [45]}
    yield case("jpeg2000/irreversible", partial(jpeg2000, photo(), **lossy), photo(), tolerance=LOSSY)
    small = photo(1, 1)
    yield case("jpeg2000/1x1", partial(jpeg2000, small), small)
    file, bare = jpeg2000(photo()), jpeg2000(photo(), no_jp2=True)
    yield case("jpeg2000/bytes-after-the-end", lambda: file + b"trailing" * 30, photo())
    for name, whole in {"boxed": file, "bare": bare}.items():
        yield refused(f"jpeg2000/{name}-cut-in-half", partial(_cut, whole, 50), DAMAGED)
        yield refused(f"jpeg2000/{name}-cut-at-95-percent", partial(_cut, whole, 95), DAMAGED)
        yield refused(f"jpeg2000/{name}-cut-in-half-with-end", partial(_cut, whole, 50, b"\xff\xd9"), DAMAGED)


def _cut(file: bytes, percent: int, end: bytes = b"") -> bytes:
    return file[: len(file) * percent // 100] + end
