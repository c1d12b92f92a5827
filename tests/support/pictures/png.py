"""PNG cases, written chunk by chunk. Source: PNG third edition (W3C, 2025), which holds APNG, cICP and eXIf too."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.case import CONVERTED, EXACT, ONE_LEVEL, Case, case, refused
from tests.support.pictures.colorimetry import (
    bt709_encoded,
    encoded,
    hlg_encoded,
    linear,
    pq_encoded,
    srgb_in,
)
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.profiles import grey_profile, rgb_profile
from tests.support.pictures.truth import (
    grey,
    indices,
    matte,
    pack_bits,
    palette_of,
    photo,
    rounded_to,
    to_depth,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
NAMES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey-alpha", RGBA: "rgba"}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
P3_FULL_RANGE = bytes([12, 13, 0, 1])

Chunk = tuple[bytes, bytes]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples: NDArray[Any],
    bits: int,
    colour_type: int,
    *,
    chunks: Sequence[Chunk] = (),
    late: Sequence[Chunk] = (),
    interlaced: bool = False,
    filters: Sequence[int] = (0,),
    idat_bytes: int = 1 << 20,
) -> bytes:
    """Write samples H×W×channels; `filters` are used in turn, row by row; `late` chunks follow the image data."""
    height, width, _ = samples.shape
    rows = b"".join(_passes(samples, bits, interlaced, filters))
    data = zlib.compress(rows)
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced))]
    parts += [chunk(*each) for each in chunks]
    parts += [chunk(b"IDAT", data[at : at + idat_bytes]) for at in range(0, len(data), idat_bytes)]
    parts += [chunk(*each) for each in late]
    return b"".join([*parts, chunk(b"IEND", b"")])


def _passes(samples: NDArray[Any], bits: int, interlaced: bool, filters: Sequence[int]) -> Iterator[bytes]:
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = samples[top::down, left::across]
        if part.size:
            yield _filtered(part, bits, filters)


def _filtered(part: NDArray[Any], bits: int, filters: Sequence[int]) -> bytes:
    packed = pack_bits(part.reshape(part.shape[0], -1), bits)
    rows = np.frombuffer(packed, np.uint8).reshape(part.shape[0], -1).astype(np.int64)
    step = max(1, bits * part.shape[2] // 8)
    left = np.pad(rows, ((0, 0), (step, 0)))[:, : rows.shape[1]]
    up = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(left, ((1, 0), (0, 0)))[:-1]
    predicted = [0 * rows, left, up, (left + up) // 2, _paeth(left, up, corner)]
    out = bytearray()
    for y, row in enumerate(rows):
        kind = filters[y % len(filters)]
        out += bytes([kind]) + ((row - predicted[kind][y]) % 256).astype(np.uint8).tobytes()
    return bytes(out)


def _paeth(left: NDArray[Any], up: NDArray[Any], corner: NDArray[Any]) -> NDArray[Any]:
    a, b, c = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))


def cases() -> Iterator[Case]:
    yield from _types_and_depths()
    yield from _transparent_colours()
    yield from _colour_chunks()
    yield from _deep_colour_spaces()
    yield from _descriptions()
    yield from _animated()
    yield from _structures()


def built(samples: NDArray[Any], bits: int, colour_type: int, **options: Any) -> Callable[[], bytes]:
    return partial(png, samples[..., None] if samples.ndim == 2 else samples, bits, colour_type, **options)


def _truth(colour_type: int, bits: int) -> tuple[NDArray[Any], NDArray[Any], Any, list[Chunk]]:
    """Return samples, colours, alpha and the palette chunk of a colour type."""
    if colour_type == PALETTE:
        colours = palette_of(2**bits)
        index = indices(2**bits)
        return index, colours[index], None, [(b"PLTE", colours.tobytes())]
    colours = grey()[..., None] if colour_type in (GREY, GREY_ALPHA) else photo()
    alpha = matte() if colour_type in (GREY_ALPHA, RGBA) else None
    whole = colours if alpha is None else np.dstack([colours, alpha])
    truth = rounded_to(colours, bits)
    return to_depth(whole, bits), truth[..., 0] if truth.shape[2] == 1 else truth, alpha, []


def _types_and_depths() -> Iterator[Case]:
    for colour_type, depths in DEPTHS.items():
        for bits in depths:
            samples, truth, alpha, chunks = _truth(colour_type, bits)
            tolerance = ONE_LEVEL if bits == 16 else EXACT
            for interlaced in (False, True):
                name = f"png/{NAMES[colour_type]}-{bits}bit{'-adam7' if interlaced else ''}"
                build = built(samples, bits, colour_type, chunks=chunks, interlaced=interlaced)
                yield case(name, build, truth, alpha, tolerance=tolerance)
                for number, filter_name in enumerate(("sub", "up", "average", "paeth"), 1):
                    build = built(samples, bits, colour_type, chunks=chunks, interlaced=interlaced, filters=[number])
                    yield case(f"{name}-{filter_name}", build, truth, alpha, tolerance=tolerance)
    yield case("png/all-filters-in-turn", built(photo(), 8, RGB, filters=[4, 3, 2, 1, 0]), photo())
    yield case("png/idat-of-one-byte", built(photo(), 8, RGB, idat_bytes=1), photo())
    for side in ((1, 1), (1, 9), (9, 1), (3, 2)):
        small = photo(*side)
        yield case(f"png/adam7-{side[0]}x{side[1]}", built(small, 8, RGB, interlaced=True), small)


def _transparent_colours() -> Iterator[Case]:
    for bits in DEPTHS[GREY]:
        samples, truth, _, _ = _truth(GREY, bits)
        key = int(samples[5, 7, 0])
        yield from _keyed(f"png/grey-{bits}bit-trns", samples, truth, bits, GREY, [key])
    for bits in DEPTHS[RGB]:
        samples, truth, _, _ = _truth(RGB, bits)
        key = [int(value) for value in samples[5, 7]]
        yield from _keyed(f"png/rgb-{bits}bit-trns", samples, truth, bits, RGB, key)
    for bits in DEPTHS[PALETTE]:
        samples, truth, _, chunks = _truth(PALETTE, bits)
        opacities = (np.arange(2**bits - 1) * 31 % 256).astype(np.uint8)  # one entry short: the last colour is opaque
        alpha = np.append(opacities, np.uint8(255))[samples]
        for interlaced in (False, True):
            name = f"png/palette-{bits}bit-trns{'-adam7' if interlaced else ''}"
            with_trns = [*chunks, (b"tRNS", opacities.tobytes())]
            yield case(name, built(samples, bits, PALETTE, chunks=with_trns, interlaced=interlaced), truth, alpha)
    key = [(b"tRNS", struct.pack(">HHH", 1, 2, 3))]
    yield case("png/rgb-8bit-trns-of-no-pixel", built(photo(), 8, RGB, chunks=key), photo())


def _keyed(
    name: str, samples: NDArray[Any], truth: NDArray[Any], bits: int, colour_type: int, key: list[int]
) -> Iterator[Case]:
    alpha = np.where((samples == key).all(axis=-1), 0, 255).astype(np.uint8)
    chunks = [(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    tolerance = ONE_LEVEL if bits == 16 else EXACT
    for interlaced in (False, True):
        build = built(samples, bits, colour_type, chunks=chunks, interlaced=interlaced)
        yield case(f"{name}{'-adam7' if interlaced else ''}", build, truth, alpha, tolerance=tolerance)


def _colour_chunks() -> Iterator[Case]:
    def iccp(icc: bytes) -> Chunk:
        return b"iCCP", b"profile\0\0" + zlib.compress(icc)

    def power(light: NDArray[Any]) -> NDArray[Any]:
        return np.clip(light, 0, 1) ** (1 / 2.2)

    p3 = srgb_in("p3", photo())
    yield case("png/cicp-p3", built(p3, 8, RGB, chunks=[(b"cICP", P3_FULL_RANGE)]), photo(), tolerance=CONVERTED)
    deep = srgb_in("p3", photo(), 65535)
    yield case(
        "png/cicp-p3-16bit", built(deep, 16, RGB, chunks=[(b"cICP", P3_FULL_RANGE)]), photo(), tolerance=CONVERTED
    )
    with_alpha = np.dstack([p3, matte()])
    built_p3 = built(with_alpha, 8, RGBA, chunks=[(b"cICP", P3_FULL_RANGE)])
    yield case("png/cicp-p3-rgba", built_p3, photo(), matte(), tolerance=CONVERTED)
    for transfer, curve in {1: encoded, 13: encoded, 14: bt709_encoded, 15: bt709_encoded}.items():
        wide = srgb_in("bt2020", photo(), 255, curve)
        build = built(wide, 8, RGB, chunks=[(b"cICP", bytes([9, transfer, 0, 1]))])
        yield case(f"png/cicp-bt2020-curve-{transfer}", build, photo(), tolerance=CONVERTED)
    yield case("png/cicp-srgb", built(photo(), 8, RGB, chunks=[(b"cICP", bytes([1, 13, 0, 1]))]), photo())
    over = [(b"cICP", P3_FULL_RANGE), iccp(rgb_profile("srgb"))]
    yield case("png/cicp-p3-over-iccp", built(p3, 8, RGB, chunks=over), photo(), tolerance=CONVERTED)
    in_icc = srgb_in("p3", photo(), 255, power)
    yield case("png/iccp-p3", built(in_icc, 8, RGB, chunks=[iccp(rgb_profile("p3"))]), photo(), tolerance=CONVERTED)
    deep = srgb_in("p3", photo(), 65535, power)
    yield case(
        "png/iccp-p3-16bit", built(deep, 16, RGB, chunks=[iccp(rgb_profile("p3"))]), photo(), tolerance=CONVERTED
    )
    light = (grey() / 255.0) ** 1.8
    truth = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    build = built(grey(), 8, GREY, chunks=[iccp(grey_profile(1.8))])
    yield case("png/iccp-grey-gamma-1.8", build, truth.round(), tolerance=CONVERTED)
    for name, chunks in {
        "srgb": [(b"sRGB", b"\0")],
        "srgb-gama-chrm": [
            (b"sRGB", b"\0"),
            (b"gAMA", struct.pack(">I", 45455)),
            (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        ],
        "gama-45455": [(b"gAMA", struct.pack(">I", 45455))],
        "iccp-garbage": [iccp(b"no profile at all")],
        "iccp-not-deflated": [(b"iCCP", b"profile\0\0garbage")],
        "iccp-cmyk-in-rgb": [iccp(rgb_profile("p3").replace(b"RGB ", b"CMYK"))],
        "iccp-empty": [(b"iCCP", b"")],
        "srgb-empty": [(b"sRGB", b"")],
        "gama-short": [(b"gAMA", b"\0\0")],
        "gama-0": [(b"gAMA", bytes(4))],
        "chrm-short": [(b"cHRM", bytes(5))],
    }.items():
        yield case(f"png/{name}", built(photo(), 8, RGB, chunks=chunks), photo())


def _deep_colour_spaces() -> Iterator[Case]:
    """16 bits, with and without transparency of either kind, in every way to state a colour space but a profile."""
    truth, shades = (photo() * 0.8).astype(np.uint8), (grey() * 0.8).astype(np.uint8)[..., None]  # no bright light

    def gamma_1_8(light: NDArray[Any]) -> NDArray[Any]:
        return np.clip(light, 0, 1) ** (1 / 1.8)

    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    gama = (b"gAMA", struct.pack(">I", 55556))
    spaces: dict[str, tuple[str, Any, list[Chunk]]] = {
        "cicp-p3": ("p3", encoded, [(b"cICP", P3_FULL_RANGE)]),
        "cicp-linear": ("srgb", lambda light: np.clip(light, 0, 1), [(b"cICP", bytes([1, 8, 0, 1]))]),
        "cicp-pq": ("bt2020", pq_encoded, [(b"cICP", bytes([9, 16, 0, 1]))]),
        "cicp-hlg": ("bt2020", hlg_encoded, [(b"cICP", bytes([9, 18, 0, 1]))]),
        "gama": ("srgb", gamma_1_8, [gama]),
        "gama-chrm": ("p3", gamma_1_8, [gama, (b"cHRM", p3)]),
    }
    for name, (space, curve, chunks) in spaces.items():
        rgb = srgb_in(space, truth, 65535, curve)
        light = (curve(linear(shades / 255)) * 65535).round().astype(np.uint16)
        for kind, samples, opaque, shown in (("rgb", rgb, RGB, truth), ("grey", light, GREY, shades[..., 0])):
            for interlaced in (False, True):
                full = f"png/16bit-{name}-{kind}{'-adam7' if interlaced else ''}"
                more: dict[str, Any] = {"chunks": chunks, "interlaced": interlaced}
                yield case(full, built(samples, 16, opaque, **more), shown, tolerance=CONVERTED)
                build = built(np.dstack([samples, to_depth(matte(), 16)]), 16, opaque + 4, **more)
                yield case(f"{full}-alpha", build, shown, matte(), tolerance=CONVERTED)
                key = [int(value) for value in samples[5, 7]]
                more["chunks"] = [*chunks, (b"tRNS", struct.pack(f">{len(key)}H", *key))]
                alpha = np.where((samples == key).all(axis=-1), 0, 255).astype(np.uint8)
                yield case(f"{full}-trns", built(samples, 16, opaque, **more), shown, alpha, tolerance=CONVERTED)


def _descriptions() -> Iterator[Case]:
    for orientation in range(1, 9):
        turned = stored(photo(), orientation)
        chunks = [(b"eXIf", exif(orientation, "<" if orientation % 2 else ">"))]
        yield case(f"png/exif-orientation-{orientation}", built(turned, 8, RGB, chunks=chunks), photo())
    turned = [(b"eXIf", exif(6))]
    yield case("png/exif-after-the-data", built(stored(photo(), 6), 8, RGB, late=turned), photo())
    big = zlib.compress(bytes(3_000_000))
    raw_exif = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n      50\n" + exif(1).hex().encode())
    for name, chunks in {
        "exif-garbage": [(b"eXIf", b"MM\0*\xff\xff\xff\xff")],
        "exif-empty": [(b"eXIf", b"")],
        "exif-text": [(b"eXIf", b"this is no EXIF")],
        "raw-profile-damaged": [(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  9999\nzz"))],
        "raw-profile-exif": [(b"zTXt", raw_exif)],
        "ztxt-of-3-mb": [(b"zTXt", b"Comment\0\0" + big)],
        "itxt-of-3-mb": [(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + big)],
        "text-of-3-mb": [(b"tEXt", b"prompt\0" + b"x" * 3_000_000)],
        "iccp-of-3-mb": [(b"iCCP", b"profile\0\0" + big)],
        "70-texts": [(b"tEXt", b"key%d\0value" % k) for k in range(70)],
        "text-empty": [(b"tEXt", b"")],
        "phys-short": [(b"pHYs", b"\0\0")],
        "phys-0": [(b"pHYs", bytes(9))],
        "phys-largest": [(b"pHYs", b"\xff" * 8 + b"\x01")],
        "time-short": [(b"tIME", b"\x07")],
        "sbit-wrong": [(b"sBIT", b"\x09\x09\x09")],
        "background": [(b"bKGD", bytes(6))],
        "private-chunk": [(b"prVt", b"anything")],
    }.items():
        yield case(f"png/{name}", built(photo(), 8, RGB, chunks=chunks), photo())
    for kind, body in {b"tEXt": b"key\0value", b"pHYs": struct.pack(">IIB", 2835, 2835, 1), b"gAMA": bytes(4)}.items():
        name = f"png/{kind.decode()}-with-bad-crc".lower()
        yield case(name, partial(_bad_crc, kind, body), photo())


def _bad_crc(kind: bytes, body: bytes) -> bytes:
    """Insert a chunk with a wrong checksum behind IHDR, which ends at byte 33."""
    plain = png(photo(), 8, RGB)
    return plain[:33] + chunk(kind, body)[:-4] + b"\0\0\0\0" + plain[33:]


def _animated() -> Iterator[Case]:
    first = [(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", _frame(0))]
    second = zlib.compress(_filtered(255 - photo(), 8, [0]))
    rest = [(b"fcTL", _frame(1)), (b"fdAT", struct.pack(">I", 2) + second)]
    warns = ("first_of_several",)
    yield case("png/animated", built(photo(), 8, RGB, chunks=first, late=rest), photo(), warnings=warns)
    apart = [(b"acTL", struct.pack(">II", 1, 0))]
    build = built(photo(), 8, RGB, chunks=apart, late=[(b"fcTL", _frame(0)), (b"fdAT", b"\0\0\0\x01" + second)])
    yield case("png/animated-default-image-apart", build, photo())
    still = [(b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", _frame(0))]
    yield case("png/animated-of-one-frame", built(photo(), 8, RGB, chunks=still), photo(), warnings=())


def _frame(sequence: int) -> bytes:
    height, width = photo().shape[:2]
    return struct.pack(">IIIIIHHBB", sequence, width, height, 0, 0, 1, 10, 0, 0)


def _structures() -> Iterator[Case]:
    plain = png(photo(), 8, RGB)
    half = png(photo()[:20], 8, RGB)
    short = half[:20] + struct.pack(">I", photo().shape[0]) + half[24:29]
    short += struct.pack(">I", zlib.crc32(short[12:29])) + half[33:]
    yield case("png/bytes-after-the-end", lambda: plain + b"trailing" * 40, photo())
    yield case("png/no-end-chunk", lambda: plain[:-12], photo())
    yield refused("png/rows-missing", lambda: short, "failed_to_read_image")
    yield refused("png/cut-in-half", lambda: plain[: len(plain) // 2], "failed_to_read_image")
    without = built(indices(16), 4, PALETTE)
    yield refused("png/palette-missing", without, "failed_to_read_image")
    short_palette = built(indices(16), 4, PALETTE, chunks=[(b"PLTE", palette_of(2).tobytes())])
    yield refused("png/palette-too-short", short_palette, "failed_to_read_image")
    for name in (b"\xa5RNS", b"tRN^", b"TRNS"):
        unknown = built(photo(), 8, RGB, chunks=[(name, bytes(6))])
        yield refused(f"png/chunk-{name!r}", unknown, "failed_to_read_image", "unknown or has a damaged name")
    parted = [(b"tEXt", b"key\0value"), (b"IDAT", zlib.compress(_filtered(photo(), 8, [0])))]
    interrupted = built(photo(), 8, RGB, late=parted)
    yield refused("png/data-interrupted", interrupted, "failed_to_read_image", "interrupted by another chunk")
    after = built(photo(), 8, RGB, late=[(b"\xa5RNS", bytes(6))])
    yield case("png/damaged-name-after-the-data", after, photo())
    yield from _damaged_data()


def _damaged_data() -> Iterator[Case]:
    """Damage within the image data, which libpng tells apart and libvips does not. Each with and without a palette."""
    palette = [(b"PLTE", palette_of(256).tobytes())]
    for kind, samples, colour_type, chunks in (
        ("rgb", photo(), RGB, []),
        ("palette", indices(256)[..., None], PALETTE, palette),
    ):
        rows = _filtered(samples, 8, [0])
        data = zlib.compress(rows)
        for name, (body, message) in {
            "checksum": (data[:-4] + b"oops", "the checksum of its image data is wrong"),
            "no-checksum": (data[:-4], "it ends too early"),
            "filter-9": (zlib.compress(b"\x09" + rows[1:]), "its image data are damaged"),
            "not-deflated": (b"\x78\x9c" + bytes(range(256)), "its image data are damaged"),
            "cut": (data[: len(data) // 2], "it ends too early"),
        }.items():
            before, _, after = png(samples, 8, colour_type, chunks=chunks).partition(chunk(b"IDAT", data))
            build = partial(b"".join, [before, chunk(b"IDAT", body), after])
            yield refused(f"png/{kind}-data-{name}", build, "failed_to_read_image", message)
    plain = png(photo(), 8, RGB)
    at = plain.index(b"IDAT")
    data = zlib.compress(_filtered(photo(), 8, [0]))
    build = partial(plain.replace, chunk(b"IDAT", data), chunk(b"IDAT", b"\x08\x1d" + data[2:]))
    yield refused("png/window-too-small", build, "failed_to_read_image", "its image data are damaged")
    build = partial(b"".join, [plain[: at + 90], bytes([plain[at + 90] ^ 1]), plain[at + 91 :]])
    yield refused("png/chunk-checksum", build, "failed_to_read_image", "the checksum of its image data is wrong")
