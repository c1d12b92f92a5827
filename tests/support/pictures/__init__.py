"""Generated files of all formats with a known picture. Each module has `cases()`; `all_cases` joins them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.pictures import avif, bmp, gif, heic, jpeg, jpeg2000, png, tiff, tiff_pages, webp
from tests.support.pictures.case import Case

MODULES = (jpeg, png, webp, avif, heic, tiff, tiff_pages, gif, bmp, jpeg2000)


def all_cases() -> Iterator[Case]:
    for module in MODULES:
        yield from module.cases()
