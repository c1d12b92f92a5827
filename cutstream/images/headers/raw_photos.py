"""Tell the RAW files of cameras, many of which are TIFF inside."""

from __future__ import annotations

from cutstream.images.headers.tiff_directories import Directory, Tag

SENSOR = frozenset({32803, 34892})  # photometric interpretations: colour filter array, linear raw
MAGIC = {
    b"FUJIFILMCCD-RAW": "Fujifilm RAF",
    b"IIU\0": "Panasonic RW2",
    b"IIRO": "Olympus ORF",
    b"IIRS": "Olympus ORF",
    b"MMOR": "Olympus ORF",
    b"FOVb": "Sigma X3F",
    b"\0MRM": "Minolta MRW",
    b"IIII": "Phase One IIQ",
    b"MMMM": "Phase One IIQ",
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
}
PHASE_ONE = (b"IIIIwaR", b"MMMMRaw")  # behind the header of a TIFF
MUCH_LARGER = 4
MAKERS = {
    b"nikon": "Nikon NEF",
    b"sony": "Sony ARW",
    b"canon": "Canon CR2",
    b"pentax": "Pentax PEF",
    b"ricoh": "Pentax PEF",
    b"samsung": "Samsung SRW",
    b"hasselblad": "Hasselblad 3FR",
    b"phase one": "Phase One IIQ",
    b"kodak": "Kodak DCR",
    b"eastman kodak": "Kodak DCR",
    b"leica": "Leica RWL",
    b"seiko epson": "Epson ERF",
    b"mamiya": "Mamiya MEF",
}


def name_by_first_bytes(data: bytes) -> str | None:
    """Return the name of a RAW format that marks its TIFF behind the header, or None."""
    if data[8:10] == b"CR":
        return "Canon CR2"
    return "Phase One IIQ" if data[8:15] in PHASE_ONE else None


def name_raw_photo(directories: list[Directory]) -> str | None:
    """Return the name of a RAW format by its directories, or None if they are those of an ordinary TIFF."""
    if any(Tag.DNG_VERSION in directory.tags for directory in directories):
        return "DNG"
    if any(directory.first(Tag.PHOTOMETRIC) in SENSOR for directory in directories):
        return _name_by_maker(directories) or "samples of a sensor"
    return None


def name_by_what_lies_below(chain: list[Directory], below: list[Directory]) -> str | None:
    """Return the name of a RAW format whose chain has only previews, some of them not marked as such.

    The picture is in a SubIFD then: samples of a sensor, or in a camera's file far more pixels than any preview has.
    """
    name = name_raw_photo(below)
    if name:
        return _name_by_maker(chain) or name
    shown = max((directory.width * directory.height for directory in chain if not directory.is_apart), default=0)
    if shown and any(not each.is_apart and each.width * each.height > MUCH_LARGER * shown for each in below):
        return _name_by_maker(chain)
    return None


def _name_by_maker(directories: list[Directory]) -> str | None:
    make = next((directory.make for directory in directories if directory.make), b"").lower()
    return next((name for maker, name in MAKERS.items() if make.startswith(maker)), None)
