"""Decode file bytes to an `Image`: upright, sRGB, eight bits, alpha as a separate plane.

Runs in a decoder process (consumer/resources/decoding/pool.py). ADR 14 says why each format is decoded by its library;
docs/formats.md says what becomes of pages, profiles, depths and damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cutstream.errors import Poison, UnreadableImage, UnsupportedImage
from cutstream.images import Image, ImageWarning, Pixels, colour, colour_spaces, lab
from cutstream.images.decoders import avif, bmp, gif, heic, jpeg, jpeg2000, png, tiff, webp
from cutstream.images.decoders.failures import DecoderOutOfMemory, NotSupported, Undecodable
from cutstream.images.decoders.raster import Description, Raster, high_bytes
from cutstream.images.header import Header
from cutstream.images.orientation import SIDEWAYS, turn_upright

READERS: dict[str, Callable[[bytes, Header], Raster]] = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "avif": avif.read,
    "heic": heic.read,
    "tiff": tiff.read,
    "gif": gif.read,
    "bmp": bmp.read,
    "jpeg2000": jpeg2000.read,
}
PARTS = {"tiff": "pages", "heic": "images", "jpeg": "images"}


def decode(data: bytes, header: Header) -> Image:
    """Decode a file whose header has been read. The image's arrays are read-only.

    Raises `UnreadableImage` for damage, `UnsupportedImage` for an intact file of a kind that is not decoded.
    """
    with _map_decode_errors(header.format):
        raster = READERS[header.format](data, header)
        pixels = _to_srgb(raster)
        alpha = None if raster.alpha is None or raster.alpha.min() == 255 else raster.alpha
        return Image(
            pixels=turn_upright(pixels, raster.about.orientation),
            alpha=None if alpha is None else turn_upright(alpha, raster.about.orientation),
            format=header.format,
            icc=raster.about.icc,
            dpi=_turned_dpi(raster.about),
            warnings=(*_count(header), *dict.fromkeys(raster.about.warnings)),
        )


@contextmanager
def _map_decode_errors(name: str) -> Iterator[None]:
    """Map every error to a named one. What a reader did not expect of damaged bytes is damage too."""
    try:
        yield
    except Poison:
        raise
    except (DecoderOutOfMemory, MemoryError) as error:
        raise UnreadableImage(
            f"decoding this {name} takes more memory than a decoder may use: send a smaller image"
        ) from error
    except NotSupported as error:
        raise UnsupportedImage(str(error)) from error
    except Undecodable as error:
        raise UnreadableImage(f"the {name} is truncated or damaged: {error}") from error
    except Exception as error:
        raise UnreadableImage(f"the {name} is truncated or damaged: its structure makes no sense") from error


def _count(header: Header) -> tuple[ImageWarning, ...]:
    if header.pictures < 2:
        return ()
    parts = PARTS.get(header.format, "frames")
    taken = "the main one" if header.page or header.format == "heic" else "the first"
    return (ImageWarning("first_of_several", f"the file holds {header.pictures} {parts}: {taken} is taken"),)


def _to_srgb(raster: Raster) -> Pixels:
    """Convert a raster to sRGB. One without a usable profile counts as sRGB, as in all viewers."""
    if raster.about.colour is not None and raster.model in ("grey", "rgb"):
        return colour_spaces.to_srgb(raster.samples, raster.about.colour)
    if raster.model == "lab":
        return lab.to_srgb(raster.samples)
    return colour.to_srgb(high_bytes(raster.samples), raster.model, raster.about)


def _turned_dpi(about: Description) -> tuple[float, float] | None:
    """Return the resolution across and down the upright image; from orientation 5 on the sides change places."""
    return about.dpi if about.dpi is None or about.orientation < SIDEWAYS else (about.dpi[1], about.dpi[0])
