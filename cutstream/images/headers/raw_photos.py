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
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
}
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


def name_raw_photo(data: bytes, directories: list[Directory]) -> str | None:
    """Return the name of a TIFF's RAW format, or None if it is an ordinary TIFF."""
    if data[8:10] == b"CR":
        return "Canon CR2"
    if any(Tag.DNG_VERSION in directory.tags for directory in directories):
        return "DNG"
    if any(directory.first(Tag.PHOTOMETRIC) in SENSOR for directory in directories):
        make = next((directory.make for directory in directories if directory.make), b"").lower()
        return next((name for maker, name in MAKERS.items() if make.startswith(maker)), "samples of a sensor")
    return None
