"""Say what a file is that is in none of the accepted formats, and what to do about it."""

from __future__ import annotations

import re

from cutstream.images.headers import heif
from cutstream.images.headers.raw_photos import MAGIC as RAW_PHOTOS
from cutstream.images.headers.transfer_damage import identify_damage

EXTENT = 1024  # bytes in which the text of a page or a document is recognised
LOGIN_EXTENT = 65_536

FIND = "check that the path or address leads to the picture itself"
EXPORT = "export the picture from it"
UNPACK = "unpack it and send the picture"
CONVERT = "convert it"
FRAME = "send one of its frames"

MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF", EXPORT),
    (b"%!PS", "PostScript (EPS)", EXPORT),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)", EXPORT),
    (b"8BPS", "a Photoshop document (PSD)", EXPORT),
    (b"gimp xcf", "a GIMP document (XCF)", EXPORT),
    (b"PK\3\4", "a ZIP archive, or an office document", UNPACK),
    (b"PK\5\6", "an empty ZIP archive", UNPACK),
    (b"\x1f\x8b", "gzip-compressed data", UNPACK),
    (b"BZh", "bzip2-compressed data", UNPACK),
    (b"\xfd7zXZ\0", "xz-compressed data", UNPACK),
    (b"\x28\xb5\x2f\xfd", "Zstandard-compressed data", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", EXPORT),
    (b"\xff\x0a", "JPEG XL", CONVERT),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", CONVERT),
    (b"II\xbc", "JPEG XR", CONVERT),
    (b"WMPHOTO", "JPEG XR", CONVERT),
    (b"\xff\xd8\xff\xf7", "JPEG-LS", CONVERT),
    (b"icns", "an icon (ICNS)", CONVERT),
    (b"\x76\x2f\x31\x01", "OpenEXR", CONVERT),
    (b"#?RADIANCE", "Radiance HDR", CONVERT),
    (b"#?RGBE", "Radiance HDR", CONVERT),
    (b"qoif", "QOI", CONVERT),
    (b"DDS ", "a DirectDraw texture (DDS)", CONVERT),
    (b"BPG\xfb", "BPG", CONVERT),
    (b"FLIF", "FLIF", CONVERT),
    (b"\x8aMNG\r\n\x1a\n", "an MNG animation", FRAME),
    (b"\x8bJNG\r\n\x1a\n", "JNG", CONVERT),
    (b"SIMPLE  =", "FITS", CONVERT),
    (b"AT&TFORM", "DjVu", EXPORT),
    (b"\x59\xa6\x6a\x95", "a Sun raster image", CONVERT),
    (b"\x01\xda\0", "an SGI image", CONVERT),
    (b"\x01\xda\1", "an SGI image", CONVERT),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile", EXPORT),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video", FRAME),
    (b"FLV\1", "a Flash video", FRAME),
    (b"\0\0\1\xba", "an MPEG video", FRAME),
    (b"\0\0\1\xb3", "an MPEG video", FRAME),
    (b"OggS", "an Ogg video or sound", FRAME),
    (b"ID3", "a sound (MP3)", FIND),
    (b"fLaC", "a sound (FLAC)", FIND),
    (b"\x7fELF", "a program", FIND),
    (b"SQLite format 3\0", "a database", FIND),
    (b"version https://git-lfs", "a Git LFS pointer", "send the file that it stands for"),
    (b"HTTP/1.", "a whole HTTP response", "store its body alone"),
    (b"\0\5\x16\7", "the metadata that macOS keeps beside a file (._name)", "send the file itself"),
    (b"\0\5\x16\0", "a file of macOS with its metadata (AppleSingle)", "send the file itself"),
    (b"\xabKTX ", "a texture (KTX)", CONVERT),
    (b"\x93NUMPY", "a NumPy array", "save it as PNG"),
    (b"\x80\4\x95", "a Python pickle", "save it as PNG"),
    (b"CSFCHUNK", "a Clip Studio document", EXPORT),
    (b"\0\xffKA", "an Affinity document", EXPORT),
    (b"fig-kiwi", "a Figma document", EXPORT),
    (b"CWS", "a Flash film", FRAME),
    (b"FWS", "a Flash film", FRAME),
    (b"wOFF", "a font", FIND),
    (b"wOF2", "a font", FIND),
    (b"OTTO", "a font", FIND),
    (b"<?php", "a PHP script, or its output", FIND),
)
PATTERNS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\0\0\x01\0[^\0]\0"), "an icon (ICO)", CONVERT),
    (re.compile(rb"\0\0\x02\0[^\0]\0"), "a cursor (CUR)", CONVERT),
    (re.compile(rb"P[1-7]\s"), "PNM (PBM, PGM, PPM or PAM)", CONVERT),
    (re.compile(rb"P[Ff]\s"), "a PFM", CONVERT),
    (re.compile(rb"\x0a[\x00-\x05]\x01[\x01\x02\x04\x08]"), "PCX", CONVERT),
    (re.compile(rb"MZ.\0", re.DOTALL), "a program", FIND),
    (re.compile(rb"\x01\0\0\0.{36} EMF", re.DOTALL), "an enhanced metafile (EMF)", EXPORT),
    (re.compile(rb"\s*/\* XPM"), "an XPM", CONVERT),
    (re.compile(rb"(?:/\*.{0,400}?\*/)?\s*#define\s+\w*width\s", re.DOTALL), "an XBM", CONVERT),
    (re.compile(rb"data:image/"), "a data URL", "send the bytes that it encodes"),
    (re.compile(rb"/9j/|iVBORw0KGgo|UklGR|R0lGOD"), "an image encoded in base64", "decode it"),
)
# No colour map or one of 24 or 32 bits, a known type, sides below 16,384, a depth of 8 to 32 bits.
TGA_WITHOUT_FOOTER = re.compile(
    rb".(?:\0[\x02\x03\x0a\x0b].{5}|\x01[\x01\x09]..\0\x01[\x18\x20])"
    rb".{4}.[\0-\x3f].[\0-\x3f][\x08\x0f\x10\x18\x20][\0-\x3f]",
    re.DOTALL,
)
RIFF = {
    b"AVI ": ("an AVI video", FRAME),
    b"WAVE": ("a sound (WAV)", FIND),
    b"ACON": ("an animated cursor (ANI)", CONVERT),
    b"CDRA": ("a CorelDRAW document", EXPORT),
}
MARKUP: tuple[tuple[bytes, str, str], ...] = (  # a page may hold drawings, and a drawing scripts
    (b"<!doctype html", "an HTML page", FIND),
    (b"<html", "an HTML page", FIND),
    (b"<svg", "an SVG drawing", "render it as PNG"),
    (b"<head", "an HTML page", FIND),
    (b"<body", "an HTML page", FIND),
    (b"<script", "an HTML page", FIND),
    (b"<error", "an error message in XML", FIND),
    (b"<?xml", "an XML document", FIND),
)
TEXT = re.compile(rb"[\t\n\f\r\x1b\x20-\x7e\x80-\xff]+")
BLANK = b" \t\r\n\f"
UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
RAW_ADVICE = "convert it to JPEG, HEIC or TIFF"
MP4 = ("an MP4 video", FRAME)
BRANDS = {
    b"qt  ": ("a QuickTime video (MOV)", FRAME),
    b"M4A ": ("a sound (M4A)", FRAME),
    b"crx ": ("a RAW photo (Canon CR3)", RAW_ADVICE),
    b"mif3": ("a HEIF picture with a short header (`mini`)", CONVERT),
}
ZEROS = bytes(65_536)


def identify(data: bytes) -> tuple[str, str]:
    """Return what a file is, and advice. It has been found to be in none of the accepted formats."""
    found = _by_magic(data) or identify_damage(data) or _by_place(data) or _by_text(data)
    return found or ("an unknown kind of file", CONVERT)


def _by_magic(data: bytes) -> tuple[str, str] | None:
    if not data:
        return "an empty file", "copy or upload it again"
    for magic, what, advice in MAGIC:
        if data.startswith(magic):
            return what, advice
    for magic, name in RAW_PHOTOS.items():
        if data.startswith(magic):
            return f"a RAW photo ({name})", RAW_ADVICE
    for pattern, what, advice in PATTERNS:
        if pattern.match(data):
            return what, advice
    return None


def _by_place(data: bytes) -> tuple[str, str] | None:
    """Recognise what does not begin with its magic."""
    if data[4:8] == b"ftyp":
        return BRANDS.get(heif.brands(data)[0], MP4) if len(data) >= 12 else MP4
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "a QuickTime video (MOV)", FRAME
    if data[:4] == b"RIFF" and data[8:12] in RIFF:
        return RIFF[data[8:12]]
    if data[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if data[128:132] == b"DICM":
        return "DICOM", EXPORT
    if data[-18:-2] == b"TRUEVISION-XFILE" or TGA_WITHOUT_FOOTER.match(data):
        return "TGA", CONVERT
    if b"%PDF-" in data[:EXTENT]:
        return "a PDF", EXPORT
    if _is_zero(data):
        return "nothing but zero bytes", "copy or upload it again"
    return None


def _is_zero(data: bytes) -> bool:
    return all(ZEROS.startswith(data[at : at + len(ZEROS)]) for at in range(0, len(data), len(ZEROS)))


def _by_text(data: bytes) -> tuple[str, str] | None:
    if data.startswith(UTF16_MARKS):
        return "text", FIND
    text = data[: 2 * EXTENT].removeprefix(UTF8_MARK).lstrip(BLANK)[:EXTENT]
    if not TEXT.fullmatch(text):
        return ("nothing but white space", FIND) if not text else None
    markup = text.lower()
    if markup.startswith(b"<"):
        return _by_markup(data, markup)
    if markup.startswith((b"{", b"[")):
        return "JSON", FIND
    try:
        data[:EXTENT].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), EXTENT) - 4:  # not only a character that is cut in two
            return None
    return "text", FIND


def _by_markup(data: bytes, markup: bytes) -> tuple[str, str]:
    for tag, what, advice in MARKUP:
        if tag in markup:
            if what == "an HTML page" and b'type="password"' in data[:LOGIN_EXTENT].lower():
                return "an HTML page that asks for a password", "check that the address needs no login"
            return what, advice
    return "an XML document", FIND
