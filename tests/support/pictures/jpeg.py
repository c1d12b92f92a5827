"""JPEG cases: sampling, colour models and their markers, scans, orientations, profiles, and what is not read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.support.pictures.case import CONVERTED, LOSSY, Case, Tolerance, case, refused
from tests.support.pictures.colorimetry import srgb_in, to_ink, to_ycbcr
from tests.support.pictures.jpeg_writer import EOI, EXTENDED, Component, segment, write_jpeg, write_lossless
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.profiles import cmyk_profile, grey_profile, rgb_profile
from tests.support.pictures.truth import grey, photo, to_depth

CLOSE = Tolerance(4, 1)  # full resolution, quantiser 1
HALVED = Tolerance(64, 2)
QUARTERED = Tolerance(96, 3)
SAMPLINGS: dict[str, tuple[Sequence[tuple[int, int]], Tolerance]] = {
    "444": (((1, 1), (1, 1), (1, 1)), CLOSE),
    "422": (((2, 1), (1, 1), (1, 1)), HALVED),
    "420": (((2, 2), (1, 1), (1, 1)), HALVED),
    "440": (((1, 2), (1, 1), (1, 1)), HALVED),
    "411": (((4, 1), (1, 1), (1, 1)), QUARTERED),
    "410": (((4, 2), (1, 1), (1, 1)), QUARTERED),
    "mixed": (((2, 2), (2, 1), (1, 2)), HALVED),
    "444-by-2": (((2, 1), (2, 1), (2, 1)), CLOSE),
}
JFIF = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
ICC_PART = 65519


def cases() -> Iterator[Case]:
    yield from _samplings()
    yield from _colour_models()
    yield from _scans()
    yield from _orientations()
    yield from _profiles()
    yield from _structures()
    yield from _refused()


def planes(
    samples: NDArray[Any], factors: Sequence[tuple[int, int]] = ((1, 1),) * 4, names: Sequence[int] = (1, 2, 3, 4)
) -> list[Component]:
    channels = samples.shape[2] if samples.ndim == 3 else 1
    stack = samples.reshape(*samples.shape[:2], channels)
    return [Component(stack[..., k], *factors[k], names[k]) for k in range(channels)]


def by_pillow(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", **{"quality": 95, **options})
    return buffer.getvalue()


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def icc_segments(icc: bytes, part: int = ICC_PART) -> list[bytes]:
    parts = [icc[at : at + part] for at in range(0, len(icc), part)]
    return [segment(0xE2, b"ICC_PROFILE\0" + bytes([k, len(parts)]) + body) for k, body in enumerate(parts, 1)]


def exif_segment(orientation: int, order: str = ">") -> bytes:
    return segment(0xE1, b"Exif\0\0" + exif(orientation, order))


def plain(samples: NDArray[Any] | None = None, **options: Any) -> bytes:
    """Return a file of full resolution with nothing lossy but the rounding of coefficients."""
    pixels = photo() if samples is None else samples
    return write_jpeg(planes(to_ycbcr(pixels)), **{"segments": JFIF, **options})


def _samplings() -> Iterator[Case]:
    ycbcr = to_ycbcr(photo())
    for name, (factors, tolerance) in SAMPLINGS.items():
        for kind, options in {"": {}, "-restarts": {"restart": 3}, "-separate-scans": {"interleaved": False}}.items():
            build = partial(write_jpeg, planes(ycbcr, factors), segments=JFIF, **options)
            yield case(f"jpeg/ycbcr-{name}{kind}", build, photo(), tolerance=tolerance, reference=True)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            for restart in (0, 2):
                name = f"jpeg/library-{subsampling.replace(':', '')}{'-progressive' * progressive}"
                options = {"subsampling": subsampling, "progressive": progressive, "restart_marker_blocks": restart}
                build = partial(by_pillow, photo(), **options)
                yield case(name + "-restarts" * (restart > 0), build, photo(), tolerance=LOSSY, reference=True)
    for side in ((1, 1), (1, 17), (17, 1), (8, 8), (16, 16)):
        small = photo(*side)
        build = partial(write_jpeg, planes(to_ycbcr(small), SAMPLINGS["420"][0]), segments=JFIF)
        yield case(f"jpeg/420-{side[0]}x{side[1]}", build, small, tolerance=Tolerance(96, 12), reference=True)


def _colour_models() -> Iterator[Case]:
    yield case("jpeg/grey", partial(write_jpeg, planes(grey()), segments=JFIF), grey(), tolerance=CLOSE)
    odd = planes(grey(), [(2, 2)])
    yield case("jpeg/grey-sampling-2x2", partial(write_jpeg, odd, segments=JFIF), grey(), tolerance=CLOSE)
    yield case("jpeg/grey-progressive", partial(by_pillow, grey(), progressive=True), grey(), tolerance=LOSSY)
    rgb = planes(photo(), names=b"RGB")
    yield case("jpeg/rgb-by-names", partial(write_jpeg, rgb), photo(), tolerance=CLOSE)
    rgb = planes(photo())
    yield case("jpeg/rgb-adobe-0", partial(write_jpeg, rgb, segments=adobe(0)), photo(), tolerance=CLOSE)
    ycbcr = planes(to_ycbcr(photo()))
    yield case("jpeg/ycbcr-adobe-1", partial(write_jpeg, ycbcr, segments=adobe(1)), photo(), tolerance=CLOSE)
    yield case("jpeg/ycbcr-no-marker", partial(write_jpeg, ycbcr), photo(), tolerance=CLOSE)
    named = planes(to_ycbcr(photo()), names=(0, 1, 2))
    yield case("jpeg/ycbcr-names-from-0", partial(write_jpeg, named), photo(), tolerance=CLOSE)
    named = planes(to_ycbcr(photo()), names=(34, 35, 36))
    yield case("jpeg/ycbcr-names-odd-jfif", partial(write_jpeg, named, segments=JFIF), photo(), tolerance=CLOSE)
    ink = to_ink(photo())
    profile = b"".join(icc_segments(cmyk_profile()))
    close = Tolerance(12, 3)
    guess = Tolerance(170, 60)
    inverted = planes(255 - ink)
    build = partial(write_jpeg, inverted, segments=adobe(0) + profile)
    yield case("jpeg/cmyk-adobe", build, photo(), tolerance=close)
    build = partial(write_jpeg, inverted, segments=adobe(0))
    yield case("jpeg/cmyk-adobe-no-profile", build, photo(), tolerance=guess, warnings=("missing_profile",))
    build = partial(write_jpeg, inverted, segments=profile)  # as all readers take it
    yield case("jpeg/cmyk-no-marker", build, photo(), tolerance=close)
    ycck = np.dstack([to_ycbcr(ink[..., :3]), 255 - ink[..., 3]])
    for name, factors in {"": ((1, 1),) * 4, "-420": ((2, 2), (1, 1), (1, 1), (2, 2))}.items():
        build = partial(write_jpeg, planes(ycck, factors), segments=adobe(2) + profile)
        yield case(f"jpeg/ycck{name}", build, photo(), tolerance=close if not name else Tolerance(96, 6))


def _scans() -> Iterator[Case]:
    yield case("jpeg/optimised", partial(by_pillow, photo(), optimize=True), photo(), tolerance=LOSSY, reference=True)
    yield case("jpeg/extended-8bit", partial(plain, frame=EXTENDED), photo(), tolerance=CLOSE)
    yield case("jpeg/restart-each-block", partial(plain, restart=1), photo(), tolerance=CLOSE)


def _orientations() -> Iterator[Case]:
    for orientation in range(1, 9):
        order = "<" if orientation % 2 else ">"
        build = partial(plain, stored(photo(), orientation), segments=JFIF + exif_segment(orientation, order))
        yield case(f"jpeg/orientation-{orientation}", build, photo(), tolerance=CLOSE)
    turned = partial(by_pillow, stored(photo(), 6), progressive=True, exif=b"Exif\0\0" + exif(6))
    yield case("jpeg/orientation-6-progressive", turned, photo(), tolerance=LOSSY, reference=True)
    for name, body in {
        "garbage": b"Exif\0\0MM\0*\xff\xff\xff\xff",
        "short": b"Exif\0\0MM",
        "orientation-9": b"Exif\0\0" + exif(9),
        "orientation-0": b"Exif\0\0" + exif(0),
        "empty": b"Exif\0\0",
        "loop": b"Exif\0\0" + exif(1)[:-4] + struct.pack(">I", 8),
    }.items():
        build = partial(plain, segments=JFIF + segment(0xE1, body))
        yield case(f"jpeg/exif-{name}", build, photo(), tolerance=CLOSE)


def _profiles() -> Iterator[Case]:
    def power(light: NDArray[Any]) -> NDArray[Any]:
        return np.clip(light, 0, 1) ** (1 / 2.2)

    p3 = srgb_in("p3", photo(), 255, power)
    whole, parts = icc_segments(rgb_profile("p3")), icc_segments(rgb_profile("p3"), 100)
    for name, segments in {"": whole, "-in-5-parts": parts, "-parts-reversed": parts[::-1]}.items():
        build = partial(plain, p3, segments=JFIF + b"".join(segments))
        yield case(f"jpeg/icc-p3{name}", build, photo(), tolerance=Tolerance(8, 1.5))
    for name, segments in {
        "part-missing": parts[:2] + parts[3:],
        "part-twice": parts[:3] + parts[2:],
        "garbage": icc_segments(b"no profile at all"),
        "of-grey": icc_segments(grey_profile()),
        "part-0-of-0": [segment(0xE2, b"ICC_PROFILE\0\0\0" + rgb_profile("p3"))],
    }.items():
        build = partial(plain, segments=JFIF + b"".join(segments))
        yield case(f"jpeg/icc-{name}", build, photo(), tolerance=CLOSE)
    light = (grey() / 255.0) ** 1.8
    truth = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    build = partial(write_jpeg, planes(grey()), segments=JFIF + b"".join(icc_segments(grey_profile(1.8))))
    yield case("jpeg/icc-grey-gamma-1.8", build, truth.round(), tolerance=CONVERTED)


def _structures() -> Iterator[Case]:
    file = plain()
    thumbnail = segment(0xE1, b"Exif\0\0" + exif(1) + by_pillow(photo(16, 16)))
    for name, build in {
        "bytes-after-the-end": lambda: file + b"trailing" * 40,
        "second-file-after-the-end": lambda: file + by_pillow(photo(16, 16)),
        "no-end-marker": lambda: file[:-2],
        "fill-bytes": lambda: file[:2] + b"\xff" * 9 + file[2:],
        "thumbnail-in-exif": partial(plain, segments=JFIF + thumbnail),
        "comment-that-looks-like-a-frame": partial(plain, segments=JFIF + segment(0xFE, b"\xff\xc0\0\x11\x08\0\1\0\1")),
        "300-segments": partial(plain, segments=JFIF + segment(0xED, b"x") * 300),
        "density-0": partial(plain, segments=segment(0xE0, b"JFIF\0\x01\x01\x01\0\0\0\0\0\0")),
        "jfif-short": partial(plain, segments=segment(0xE0, b"JF")),
        "adobe-short": partial(plain, segments=JFIF + segment(0xEE, b"Adobe")),
        "app-garbage": partial(
            plain, segments=JFIF + b"".join(segment(0xE0 + k, b"\xff\xd8" * 9) for k in range(3, 14))
        ),
    }.items():
        yield case(f"jpeg/{name}", build, photo(), tolerance=CLOSE)
    yield from _several()


def _several() -> Iterator[Case]:
    """MPO: pictures behind the first one, by their type in the index and their size."""
    several = ("first_of_several",)
    second = by_pillow(255 - photo())
    gain = second[:2] + segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>') + second[2:]
    apple = second[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0 HDRGainMap:HDRGainMapVersion") + second[2:]
    iso = second[:2] + segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(9)) + second[2:]
    for name, kind, other, warnings in (
        ("undefined", 0, second, several),
        ("panorama", 0x020001, second, several),
        ("disparity", 0x020002, second, several),
        ("multi-angle", 0x020003, second, several),
        ("preview-vga", 0x010001, second, ()),
        ("preview-full-hd", 0x010002, second, ()),
        ("undefined-small", 0, by_pillow(photo(16, 16)), ()),
        ("gain-map", 0, gain, ()),
        ("gain-map-of-apple", 0, apple, ()),
        ("gain-map-of-iso", 0, iso, ()),
        ("not-there", 0, b"", ()),
    ):
        for order in "<>":
            build = partial(mpo, photo(), other, kind, order)
            full = f"jpeg/mpo-{name}-{'little' if order == '<' else 'big'}"
            yield case(full, build, photo(), tolerance=CLOSE, warnings=warnings)


def mpo(first: NDArray[np.uint8], second: bytes, kind: int, order: str = "<") -> bytes:
    """Write an MPO of two pictures (CIPA DC-007). `kind` is the type of the second."""
    behind = len(plain(first)) + len(_index(0, 0, kind, order)) - 2 - len(JFIF) - 8
    return plain(first, segments=JFIF + _index(behind, len(second), kind, order)) + second


def _index(offset: int, size: int, kind: int, order: str) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    tags = struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(order + "HHII", 0xB001, 4, 1, 2)
    tags += struct.pack(order + "HHIII", 0xB002, 7, 32, 50, 0)
    pictures = struct.pack(order + "IIIHHIIIHH", 0x20030000, 0, 0, 0, 0, kind, size, offset, 0, 0)
    return segment(0xE2, b"MPF\0" + head + tags + pictures)


def _refused() -> Iterator[Case]:
    file, progressive = plain(), by_pillow(photo(), progressive=True)
    damaged = "failed_to_read_image"
    cuts: dict[str, Callable[[], bytes]] = {
        "cut-in-half": lambda: file[: len(file) // 2],
        "cut-in-half-with-end": lambda: file[: len(file) // 2] + EOI,
        "cut-at-95-percent-with-end": lambda: file[: len(file) * 95 // 100] + EOI,
        "progressive-cut-in-half": lambda: progressive[: len(progressive) // 2],
        "progressive-cut-in-half-with-end": lambda: progressive[: len(progressive) // 2] + EOI,
        "no-scan": lambda: file[: file.index(b"\xff\xda")] + EOI,
        "huffman-table-lost": lambda: file.replace(b"\xff\xc4", b"\xff\x9e"),
        "no-quantiser": lambda: file.replace(b"\xff\xdb", b"\xff\xef"),
    }
    for name, build in cuts.items():
        yield refused(f"jpeg/{name}", build, damaged)
    kind = "invalid_file_type"
    deep = planes(to_depth(grey(), 12))
    yield refused("jpeg/grey-12bit", partial(write_jpeg, deep, bits=12, frame=EXTENDED), kind, "12")
    yield refused("jpeg/lossless", partial(write_lossless, planes(photo()), segments=JFIF), kind, "lossless")
    two = planes(np.dstack([grey(), 255 - grey()]))
    yield refused("jpeg/no-height-before-dnl", partial(plain, name_height=False), kind, "DNL")
    yield refused("jpeg/two-components", partial(write_jpeg, two, segments=JFIF), kind)
