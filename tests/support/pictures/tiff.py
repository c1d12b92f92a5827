"""TIFF cases: colour models, depths, byte orders, layouts, alpha, orientations."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.case import CONVERTED, EXACT, ONE_LEVEL, Case, Tolerance, case, refused
from tests.support.pictures.colorimetry import to_ink, to_lab
from tests.support.pictures.orientations import stored
from tests.support.pictures.profiles import cmyk_profile, rgb_profile
from tests.support.pictures.tiff_writer import (
    BLACK_IS_ZERO,
    CMYK,
    DEFLATE,
    LAB,
    LZMA,
    LZW,
    PACKBITS,
    PALETTE,
    SHORT,
    UNDEFINED,
    WHITE_IS_ZERO,
    ZSTD,
    Page,
    write_tiff,
)
from tests.support.pictures.truth import (
    grey,
    indices,
    matte,
    palette_of,
    photo,
    premultiplied,
    rounded_to,
    to_depth,
)

SAMPLE_FORMAT = 339
ORDERS = {"le": "<", "be": ">"}
COMPRESSIONS = {"none": 1, "lzw": LZW, "deflate": DEFLATE, "old-deflate": 32946, "packbits": PACKBITS}
RARE_COMPRESSIONS = {"lzma": LZMA, "zstd": ZSTD}
EXTRA_SAMPLES, ICC = 338, 34675
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
APPROXIMATE = Tolerance(170, 60)  # ink without a profile: any guess is a guess


def cases() -> Iterator[Case]:
    yield from _grey()
    yield from _rgb()
    yield from _layouts()
    yield from _palettes()
    yield from _alpha()
    yield from _orientations()
    yield from _other_colours()
    yield from _refused_samples()


def one(samples: NDArray[Any], order: str = "<", *, big: bool = False, **page: Any) -> Callable[[], bytes]:
    """Return what builds a file of one page; grey samples get their third axis."""
    return partial(_build, samples[..., None] if samples.ndim == 2 else samples, order, big, page)


def _build(samples: NDArray[Any], order: str, big: bool, page: dict[str, Any]) -> bytes:
    return write_tiff([Page(samples, **page)], order, big=big)


def tolerance_of(bits: int) -> Tolerance:
    return ONE_LEVEL if bits > 8 else EXACT


def _grey() -> Iterator[Case]:
    for zero, photometric in (("black", BLACK_IS_ZERO), ("white", WHITE_IS_ZERO)):
        for bits in (1, 2, 4, 8, 16):
            samples = to_depth(grey(), bits)
            ink = 2**bits - 1 - samples if zero == "white" else samples
            truth = rounded_to(grey(), bits)
            for end, order in ORDERS.items():
                name = f"tiff/{zero}-is-zero-{bits}bit-{end}"
                options = {"bits": bits, "photometric": photometric}
                yield case(name, one(ink, order, **options), truth, tolerance=tolerance_of(bits))
            for layout in ({"compression": LZW}, {"tile": (16, 32)}, {"compression": PACKBITS, "rows_per_strip": 5}):
                name = f"tiff/{zero}-is-zero-{bits}bit-{'-'.join(map(str, layout))}"
                built = one(ink, **options, **layout)
                yield case(name, built, truth, tolerance=tolerance_of(bits))
    for bits in (1, 2, 4, 8):
        built = one(to_depth(grey(), bits), bits=bits, photometric=BLACK_IS_ZERO, fill_order=2)
        yield case(f"tiff/fill-order-2-{bits}bit", built, rounded_to(grey(), bits))
    built = one(to_depth(grey(), 1), bits=1, photometric=BLACK_IS_ZERO, fill_order=2, compression=LZW)
    yield case("tiff/fill-order-2-1bit-lzw", built, rounded_to(grey(), 1))


def _rgb() -> Iterator[Case]:
    for bits in (8, 16):
        samples = to_depth(photo(), bits)
        for end, order in ORDERS.items():
            for planar in (False, True):
                for name, compression in COMPRESSIONS.items():
                    layout = "planar" if planar else "contiguous"
                    built = one(samples, order, bits=bits, planar=planar, compression=compression)
                    yield case(
                        f"tiff/rgb-{bits}bit-{end}-{layout}-{name}", built, photo(), tolerance=tolerance_of(bits)
                    )
    for bits in (1, 2, 4):
        built = one(to_depth(photo(), bits), bits=bits, planar=True)
        yield case(f"tiff/rgb-{bits}bit-planar", built, rounded_to(photo(), bits), tolerance=tolerance_of(bits))


def _layouts() -> Iterator[Case]:
    layouts: dict[str, dict[str, Any]] = {
        "one-strip": {"rows_per_strip": 43},
        "rows-per-strip-infinite": {"rows_per_strip": 43, "tags": {278: (4, 2**32 - 1)}},
        "strips-of-1": {"rows_per_strip": 1},
        "tiles": {"tile": (16, 16)},
        "tiles-wide": {"tile": (16, 64)},
        "tiles-larger-than-picture": {"tile": (128, 128)},
    }
    for bits in (8, 16):
        samples = to_depth(photo(), bits)
        for name, layout in layouts.items():
            for planar in (False, True):
                kind = f"tiff/{name}-{bits}bit{'-planar' if planar else ''}"
                built = one(samples, bits=bits, planar=planar, **layout)
                yield case(kind, built, photo(), tolerance=tolerance_of(bits))
        for end, order in ORDERS.items():
            for codec in ("lzw", "deflate"):
                for planar in (False, True):
                    kind = f"tiff/predictor-{codec}-{bits}bit-{end}{'-planar' if planar else ''}"
                    options = {"compression": COMPRESSIONS[codec], "predictor": 2, "planar": planar}
                    yield case(kind, one(samples, order, bits=bits, **options), photo(), tolerance=tolerance_of(bits))
            built = one(samples, order, big=True, bits=bits, compression=LZW)
            yield case(f"tiff/big-{bits}bit-{end}", built, photo(), tolerance=tolerance_of(bits))
        built = one(samples, bits=bits, compression=LZW, predictor=2, tile=(32, 16))
        yield case(f"tiff/predictor-tiles-{bits}bit", built, photo(), tolerance=tolerance_of(bits))


def _palettes() -> Iterator[Case]:
    for bits in (1, 2, 4, 8):
        colours = palette_of(2**bits)
        index = indices(2**bits)
        tables = {
            "": colours.T.astype(np.uint32) * 257,
            "-table-of-8-bits": colours.T.astype(np.uint32),  # old writers forgot the scale; readers bear it
        }
        for end, order in ORDERS.items():
            for kind, table in tables.items():
                tags = {320: (SHORT, table.ravel().tolist())}
                built = one(index, order, bits=bits, photometric=PALETTE, tags=tags)
                yield case(f"tiff/palette-{bits}bit-{end}{kind}", built, colours[index])
        tags = {320: (SHORT, tables[""].ravel().tolist())}
        built = one(index, bits=bits, photometric=PALETTE, compression=LZW, tags=tags, tile=(16, 16))
        yield case(f"tiff/palette-{bits}bit-tiles", built, colours[index])


def _alpha() -> Iterator[Case]:
    for bits in (8, 16):
        for planar in (False, True):
            for end, order in ORDERS.items():
                layout = f"{bits}bit-{'planar-' if planar else ''}{end}"
                options: dict[str, Any] = {"bits": bits, "planar": planar}
                yield from _with_alpha("rgb", photo(), 2, layout, order, options)
                yield from _with_alpha("grey", grey()[..., None], 1, layout, order, options)
    four = np.dstack([photo(), matte()])
    three = np.dstack([photo(), matte(), 255 - matte()])
    corel = one(np.dstack([photo(), matte()]), tags={EXTRA_SAMPLES: (SHORT, 999)})
    yield case("tiff/rgb-alpha-of-corel", corel, photo(), matte())
    for planar in (False, True):
        unknown = one(np.dstack([photo(), matte()]), tags={EXTRA_SAMPLES: (SHORT, 23042)}, planar=planar)
        name = f"tiff/rgb-alpha-unknown{'-planar' if planar else ''}"
        yield refused(name, unknown, "failed_to_read_image", "whether its last sample is alpha")
    yield case("tiff/rgb-unspecified", one(four, tags={EXTRA_SAMPLES: (SHORT, UNSPECIFIED)}), photo())
    tags = {EXTRA_SAMPLES: (SHORT, [UNASSOCIATED, UNSPECIFIED])}
    yield case("tiff/rgb-alpha-and-unspecified", one(three, tags=tags), photo(), matte())
    opaque = np.dstack([photo(), np.full_like(matte(), 255)])
    yield case("tiff/rgb-alpha-opaque", one(opaque, tags={EXTRA_SAMPLES: (SHORT, UNASSOCIATED)}), photo())


def _with_alpha(
    model: str, colours: NDArray[np.uint8], photometric: int, layout: str, order: str, options: dict[str, Any]
) -> Iterator[Case]:
    bits = options["bits"]
    flat = colours[..., 0] if colours.shape[2] == 1 else colours
    photometric = BLACK_IS_ZERO if model == "grey" else photometric
    straight = to_depth(np.dstack([colours, matte()]), bits)
    tags = {EXTRA_SAMPLES: (SHORT, UNASSOCIATED)}
    built = one(straight, order, photometric=photometric, tags=tags, **options)
    yield case(f"tiff/{model}-unassociated-{layout}", built, flat, matte(), tolerance=tolerance_of(bits))
    associated = to_depth(np.dstack([premultiplied(colours, matte()), matte()]), bits)
    tags = {EXTRA_SAMPLES: (SHORT, ASSOCIATED)}
    built = one(associated, order, photometric=photometric, tags=tags, **options)
    name = f"tiff/{model}-associated-{layout}"
    yield case(name, built, flat, matte(), tolerance=Tolerance(2, 1), weighted=True)


def _orientations() -> Iterator[Case]:
    for orientation in range(1, 9):
        tags = {274: (SHORT, orientation)}
        yield case(f"tiff/orientation-{orientation}", one(stored(photo(), orientation), tags=tags), photo())
    tags = {274: (SHORT, 6)}
    yield case("tiff/orientation-6-tiles", one(stored(photo(), 6), tags=tags, tile=(16, 16)), photo())
    wide = to_depth(stored(photo(), 8), 16)
    built = one(wide, ">", bits=16, tags={274: (SHORT, 8)})
    yield case("tiff/orientation-8-16bit-be", built, photo(), tolerance=ONE_LEVEL)
    for wrong in (0, 9, 65535):
        yield case(f"tiff/orientation-{wrong}-is-none", one(photo(), tags={274: (SHORT, wrong)}), photo())


def _other_colours() -> Iterator[Case]:
    profile = {ICC: (UNDEFINED, cmyk_profile())}
    for bits in (8, 16):
        ink = to_depth(to_ink(photo()), bits)
        for end, order in ORDERS.items():
            for planar in (False, True):
                name = f"tiff/cmyk-{bits}bit-{end}{'-planar' if planar else ''}"
                options: dict[str, Any] = {"bits": bits, "photometric": CMYK, "planar": planar}
                built = one(ink, order, tags=profile, **options)
                yield case(name, built, photo(), tolerance=Tolerance(8, 2))
        plain = one(ink, bits=bits, photometric=CMYK)
        yield case(f"tiff/cmyk-{bits}bit-no-profile", plain, photo(), tolerance=APPROXIMATE)
    for bits in (8, 16):
        scale = [255 / 100, 1, 1] if bits == 8 else [65535 / 100, 256, 256]
        lab = ((to_lab(photo()) * scale).round().astype(np.int64) % 2**bits).astype(np.uint32)
        for end, order in ORDERS.items():
            built = one(lab, order, bits=bits, photometric=LAB)
            yield case(f"tiff/lab-{bits}bit-{end}", built, photo(), tolerance=Tolerance(24, 1.5))
            for planar in (False, True):
                tags = {EXTRA_SAMPLES: (SHORT, UNASSOCIATED)}
                whole = np.dstack([lab, to_depth(matte(), bits)])
                built = one(whole, order, bits=bits, photometric=LAB, tags=tags, planar=planar)
                name = f"tiff/lab-{bits}bit-alpha{'-planar' if planar else ''}-{end}"
                yield case(name, built, photo(), matte(), tolerance=Tolerance(24, 1.5))
                tags = {SAMPLE_FORMAT: (SHORT, [1, 2, 2])}
                built = one(lab, order, bits=bits, photometric=LAB, tags=tags, planar=planar)
                name = f"tiff/lab-{bits}bit-a-and-b-signed{'-planar' if planar else ''}-{end}"
                yield case(name, built, photo(), tolerance=Tolerance(24, 1.5))
                if bits == 16:
                    tags = {SAMPLE_FORMAT: (SHORT, [2, 2, 2])}
                    built = one(lab, order, bits=bits, photometric=LAB, tags=tags, planar=planar)
                    name = f"tiff/lab-16bit-all-signed{'-planar' if planar else ''}-{end}"
                    yield case(name, built, photo(), tolerance=Tolerance(24, 1.5))
    yield case("tiff/lab-16bit-of-libvips", _lab_of_libvips, photo(), tolerance=Tolerance(40, 4))  # its white is D65
    p3 = _in_p3()
    yield case("tiff/icc-p3", one(p3, tags={ICC: (UNDEFINED, rgb_profile("p3"))}), photo(), tolerance=CONVERTED)
    for name, icc in {"garbage": b"no profile at all", "empty": b""}.items():
        yield case(f"tiff/icc-{name}", one(photo(), tags={ICC: (UNDEFINED, icc)}), photo())
    text = {ICC: (2, b"sRGB\0"), 282: (2, b"300\0"), 283: (2, b"300\0")}
    yield case("tiff/tags-of-text-type", one(photo(), tags=text), photo())


def _lab_of_libvips() -> bytes:
    import pyvips

    image = pyvips.Image.new_from_array(photo()).copy(interpretation="srgb")
    return bytes(image.colourspace("labs").tiffsave_buffer())


def _in_p3() -> NDArray[np.uint16]:
    from tests.support.pictures.colorimetry import srgb_in

    return srgb_in("p3", photo(), curve=lambda light: np.clip(light, 0, 1) ** (1 / 2.2))


def _refused_samples() -> Iterator[Case]:
    unit = photo().astype(np.float32) / 255
    code, message = "invalid_file_type", "16 bits"
    meaningless = one(photo())().replace(struct.pack("<HH", 262, 3), struct.pack("<HH", 58886, 3))
    yield refused("tiff/no-photometric", lambda: meaningless, "failed_to_read_image", "grey, colours or ink")
    yield refused("tiff/rgb-float32", one(unit, bits=32, floating=True), code, message)
    yield refused("tiff/grey-float32", one(unit[..., 0], bits=32, photometric=1, floating=True), code, message)
    yield refused("tiff/rgb-float16", one(unit, bits=16, floating=True), code, message)
    yield refused("tiff/rgb-float64", one(unit, bits=64, floating=True), code, message)
    for name, compression in RARE_COMPRESSIONS.items():
        yield refused(f"tiff/rgb-8bit-{name}", one(photo(), compression=compression), code, "compression")
    for bits in (1, 2, 4):
        yield refused(f"tiff/rgb-{bits}bit", one(to_depth(photo(), bits), bits=bits), code, "bits")
    for planar in (False, True):
        built = one(to_depth(photo(), 12), bits=12, planar=planar)
        yield refused(f"tiff/rgb-12bit{'-planar' * planar}", built, code, message)
    for name, photometric in {"black": BLACK_IS_ZERO, "white": WHITE_IS_ZERO}.items():
        built = one(to_depth(grey(), 12), bits=12, photometric=photometric)
        yield refused(f"tiff/{name}-is-zero-12bit", built, code, message)
    whole = to_depth(photo(), 16).astype(np.uint32) << 16
    yield refused("tiff/rgb-32bit", one(whole, bits=32), code, message)
    yield refused("tiff/grey-32bit", one(whole[..., 0], bits=32, photometric=1), code, message)
    signed = {339: (SHORT, 2)}
    built = one(to_depth(grey(), 16), bits=16, photometric=1, tags=signed)
    yield refused("tiff/grey-16bit-signed", built, code)
