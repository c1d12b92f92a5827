"""Each kind of file that people send by mistake is called by its name, and never damaged."""

from __future__ import annotations

import gzip
import zipfile
from io import BytesIO

import pytest
from PIL import Image as Pillow

from cutstream.errors import UnsupportedImage
from cutstream.images.header import read_header


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", b"\xff\xd8\xff")
    return buffer.getvalue()


def saved(format: str) -> bytes:
    buffer = BytesIO()
    Pillow.new("RGB", (32, 32)).save(buffer, format)
    return buffer.getvalue()


LOGIN = b"<!DOCTYPE html><html><body><form><input name='u'><input Type=\"password\"></form></body></html>"
STRANGERS = {
    "an empty file": b"",
    "nothing but zero bytes": bytes(100_000),
    "an HTML page:": b"\xef\xbb\xbf\n <!doctype HTML><title>Not found</title>",
    "an HTML page that asks for a password": LOGIN,
    "an HTML page: check": b"<html><body><svg/></body></html>",
    "an SVG drawing:": b"<svg><script/></svg>",
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- made by hand --><svg xmlns="http://www.w3.org/2000/svg"/>',
    "an error message in XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "an XML document": b'<?xml version="1.0"?><feed/>',
    "JSON": b'{"error": "not found"}',
    "text": "not a photo: Ångström".encode(),
    "text:": b"\xff\xfet\0e\0x\0t\0",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "a whole HTTP response": b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff",
    "a data URL": b"data:image/png;base64,iVBORw0KGgo=",
    "an image encoded in base64": b"/9j/4AAQSkZJRgABAQ",
    "a PDF": b"\n%PDF-1.7\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a Photoshop document": b"8BPS\0\1\0\0\0\0\0\0\0\3",
    "a ZIP archive": zipped(),
    "gzip": gzip.compress(b"\xff\xd8\xff"),
    "JPEG XL": b"\xff\x0a\xfa\x7f\x01",
    "JPEG XL:": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
    "JPEG XR": b"II\xbc\1\x08\0\0\0",
    "JPEG-LS": b"\xff\xd8\xff\xf7\0\x0b\x08\0\1\0\1\1",
    "an icon": saved("ICO"),
    "TGA": saved("TGA"),
    "TGA:": b"\5" * 40 + saved("TGA") + bytes(8) + b"TRUEVISION-XFILE.\0",
    "PNM": saved("PPM"),
    "PCX": saved("PCX"),
    "an SGI image": saved("SGI"),
    "a DirectDraw texture": saved("DDS"),
    "OpenEXR": b"\x76\x2f\x31\x01\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "QOI": b"qoif\0\0\0\1\0\0\0\1\3\0",
    "DICOM": bytes(128) + b"DICM",
    "an MP4 video": b"\0\0\0\x18ftypisom\0\0\2\0isommp41",
    "a QuickTime video": b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
    "a QuickTime video (MOV):": b"\0\0\0\x08wide\0\0\1\0mdat",
    "a WebM or Matroska video": b"\x1a\x45\xdf\xa3\x9fB\x86\x81",
    "an AVI video": b"RIFF\0\0\0\0AVI LIST",
    "a HEIF picture with a short header (`mini`): convert it": b"\0\0\0\x10ftypmif3\0\0\0\0heic",
    "a RAW photo (Canon CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "a RAW photo (Fujifilm RAF)": b"FUJIFILMCCD-RAW 0201",
    "a RAW photo (Panasonic RW2)": b"IIU\0\x18\0\0\0",
    "a RAW photo (Olympus ORF)": b"IIRO\x08\0\0\0",
    "the metadata that macOS keeps beside a file": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
    "a tar archive": b"photo.jpg".ljust(257, b"\0") + b"ustar\0" + b"00" + bytes(300),
    "an enhanced metafile": b"\1\0\0\0" + bytes(36) + b" EMF\0\0\1\0",
    "an XPM": b"/* XPM */\nstatic char *photo[] = {",
    "an XBM": b"#define photo_width 16\n#define photo_height 16\n",
    "an XBM:": b"/* made by hand */\n#define width 16\n",
    "the body of a form": b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
    + saved("JPEG"),
    "an image behind bytes": b"\xef\xbb\xbf" + saved("JPEG"),
    "an image behind bytes that": b"\r\n" + saved("JPEG"),
    "an image behind bytes that do": b"\n\n  " + saved("PNG"),
    "an image that was stored as text": saved("JPEG").decode("latin-1").encode(),
    "an image that was stored as text,": saved("PNG").decode("latin-1").encode(),
    "an image that was stored as text, which": saved("JPEG").decode("utf-8", "replace").encode(),
    "an image that was stored as text, which has": saved("PNG").decode("utf-8", "replace").encode(),
    "an image that was stored as text, which has destroyed": saved("PNG").replace(b"\r\n", b"\n"),
    "an image that was stored as text, which has destroyed it": saved("PNG").replace(b"\n", b"\r\n"),
    "an image that was stored as text, which has destroyed it:": bytes(b & 127 for b in saved("PNG")),
    "an image in hexadecimal digits": saved("JPEG").hex().encode(),
    "an image printed as a text of Python": repr(saved("JPEG")).encode(),
    "a RAW photo (Phase One IIQ)": b"IIIIwaR\0",
    "a NumPy array": b"\x93NUMPY\1\0v\0",
    "an animated cursor": b"RIFF\0\0\0\0ACONanih",
    "an unknown kind of file": b"\x07\x08\x01\x02" * 20,
}


@pytest.mark.parametrize(("what", "data"), STRANGERS.items(), ids=STRANGERS)
def test_a_file_is_called_by_its_name(what: str, data: bytes) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        read_header(data, 50_000_000)
    assert f"but {what}" in f"{caught.value}"


def test_text_that_begins_like_a_bitmap_is_text() -> None:
    with pytest.raises(UnsupportedImage, match="but text"):
        read_header(b"BMW and Audi, compared in detail", 50_000_000)


def test_a_character_cut_in_two_at_the_end_of_the_sample_is_still_text() -> None:
    with pytest.raises(UnsupportedImage, match="but text"):
        read_header(b"a" + "ä".encode() * 2000, 50_000_000)
