"""The header of a TIFF (TIFF 6.0) or BigTIFF, of either byte order: which of its directories holds the picture.

Cameras write thumbnails first, scanners many pages, microscopes a pyramid. The picture is the first directory of the
chain that is neither a reduced-resolution image nor a mask; if there is none, the first such SubIFD; if there is none
either, the largest directory of the chain.
"""

from __future__ import annotations

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.headers.raw_photos import name_by_first_bytes, name_by_what_lies_below, name_raw_photo
from cutstream.images.headers.tiff_directories import Directory, Tag, TiffReader
from cutstream.images.headers.types import Header

# None, CCITT, LZW, JPEG, Deflate, PackBits, WebP
READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50001})
REFUSED_COMPRESSIONS = {
    6: "old-style JPEG",
    32766: "NeXT",
    32771: "CCITT with rows of whole words",
    32809: "ThunderScan",
    34661: "JBIG",
    34676: "SGI Log",
    34677: "SGI Log",
    32909: "Pixar Log",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}  # of samples; 1 is unsigned, 4 unknown
SIGNED, CIE_LAB = 2, 8
DEPTHS = frozenset({1, 2, 4, 8, 16})
MAX_CHANNELS = 8
MAX_CHUNKS = 100_000  # strips or tiles, which libvips reads in 0.3 s; pictures have a strip for each row at most
MAX_TILE_SIDE = 8192
MAX_SEARCHED = 4  # directories below which RAW photos are looked for


def read_tiff(data: bytes) -> Header:
    _refuse_raw_photo(name_by_first_bytes(data))
    reader = TiffReader(data)
    chain = reader.chain()
    _refuse_raw_photo(name_raw_photo(chain))
    below = [inner for directory in chain[:MAX_SEARCHED] for inner in reader.intact_below(directory)]
    _refuse_raw_photo(name_by_what_lies_below(chain, below))
    page, subifd, directory = _choose(reader, chain)
    _check_samples(directory)
    _check_chunks(directory)
    return Header(
        "tiff",
        directory.width,
        directory.height,
        bits=directory.bits[0],
        channels=3 if directory.first(Tag.PHOTOMETRIC) == 3 else directory.first(Tag.SAMPLES, 1),
        pictures=max(1, sum(not each.is_apart for each in chain)),
        page=page,
        subifd=subifd,
    )


def _refuse_raw_photo(name: str | None) -> None:
    if name:
        raise UnsupportedImage(f"this is a RAW photo ({name}): convert it to JPEG, HEIC or TIFF")


def _choose(reader: TiffReader, chain: list[Directory]) -> tuple[int, int, Directory]:
    for page, directory in enumerate(chain):
        if not directory.is_apart:
            return page, -1, directory
    for page, directory in enumerate(chain):
        below = reader.below(directory)
        for subifd, inner in enumerate(below):
            if not inner.is_apart:
                return page, subifd, inner
    sizes = [directory.width * directory.height for directory in chain]
    page = sizes.index(max(sizes))
    return page, -1, chain[page]


def _check_samples(directory: Directory) -> None:
    compression = directory.first(Tag.COMPRESSION, 1)
    if compression not in READ_COMPRESSIONS:
        name = REFUSED_COMPRESSIONS.get(compression, str(compression))
        raise UnsupportedImage(f"a TIFF with the compression {name}: save it with LZW or Deflate")
    bits = directory.bits
    kinds = {FORMATS[kind] for kind in directory.tags.get(Tag.FORMAT, ()) if kind in FORMATS}
    if is_signed_lab(directory.first(Tag.PHOTOMETRIC), directory.tags.get(Tag.FORMAT, ()), bits[0]):
        kinds = set()
    if kinds or len(set(bits)) > 1 or bits[0] not in DEPTHS:
        kind = " and ".join(sorted(kinds)) or "whole"
        what = "/".join(str(each) for each in sorted(set(bits)))
        raise UnsupportedImage(f"a TIFF with {kind} samples of {what} bits: save it with 8 or 16 bits")
    samples = directory.first(Tag.SAMPLES, 1)
    if samples > 1 and bits[0] < 8 and directory.first(Tag.PLANAR, 1) == 1:
        raise UnsupportedImage(f"a TIFF with {samples} samples of {bits[0]} bits in a pixel: save it with 8 or 16 bits")
    if not 1 <= samples <= MAX_CHANNELS:
        raise UnsupportedImage(f"a TIFF of {samples} channels: save it in grey, RGB or CMYK")


def is_signed_lab(photometric: int, formats: tuple[int, ...], bits: int) -> bool:
    """Tell Lab whose a and b are called signed, which they are; libvips calls L so too, which it is not."""
    if photometric != CIE_LAB or any(kind in (3, 5, 6) for kind in formats):
        return False
    return formats[1:3] == (SIGNED, SIGNED) and (formats[0] != SIGNED or bits == 16)


def _check_chunks(directory: Directory) -> None:
    width, height = directory.width, directory.height
    tiled = Tag.TILE_WIDTH in directory.tags
    chunk_w = directory.first(Tag.TILE_WIDTH) if tiled else width
    chunk_h = directory.first(Tag.TILE_HEIGHT) if tiled else directory.first(Tag.ROWS, height)
    if chunk_w < 1 or chunk_h < 1:
        raise ValueError(f"strips or tiles of {chunk_w}×{chunk_h}")
    planes = directory.first(Tag.SAMPLES, 1) if directory.first(Tag.PLANAR, 1) == 2 else 1
    chunks = -(-width // chunk_w) * -(-height // chunk_h) * planes
    if chunks > MAX_CHUNKS:
        what = f"{chunks:,} {'tiles' if tiled else 'strips'}"
        raise UnreadableImage(f"a TIFF of {what} takes too long: save it with fewer, larger ones")
    if tiled:
        _check_tile(chunk_w, chunk_h, max(width, height))


def _check_tile(width: int, height: int, side: int) -> None:
    """Refuse the tiles that libvips refuses: of odd sizes, or more than twice as large as the picture."""
    largest = min(MAX_TILE_SIDE, -(-2 * side // 256) * 256)
    if width % 16 or height % 16 or max(width, height) > largest:
        raise UnsupportedImage(f"a TIFF with tiles of {width}×{height}: save it in strips, or in tiles of 256×256")
