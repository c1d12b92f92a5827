"""Say what a record's value looks like that is not a request in JSON, so that its writer sees what to change."""

from __future__ import annotations

import re

_PLAIN = "send the request as plain JSON in UTF-8"
_IMAGE = 'a request holds the address of an image, such as {"image": "s3://bucket/photo.jpg"}'

# What a value begins with, what it is then called, and what to do. The first that fits counts.
_KINDS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name, advice)
    for pattern, name, advice in (
        (rb"\xff\xd8\xff", "a JPEG file", _IMAGE),
        (rb"\x89PNG", "a PNG file", _IMAGE),
        (rb"GIF8", "a GIF file", _IMAGE),
        (rb"RIFF....WEBP", "a WebP file", _IMAGE),
        (rb"II[*+]\0|MM\0[*+]", "a TIFF file", _IMAGE),
        (rb"BM....\0\0\0\0", "a BMP file", _IMAGE),
        (rb"\0\0..ftyp|\0\0\0\x0cjP  ", "an AVIF, HEIC, JPEG 2000 or video file", _IMAGE),
        (rb"%PDF", "a PDF", _IMAGE),
        (rb"\xff\xfe\0\0|\0\0\xfe\xff|[ -~]\0\0\0|\0\0\0[ -~]", "text in UTF-32", _PLAIN),
        (rb"\xff\xfe|\xfe\xff|[ -~]\0[ -~]\0|\0[ -~]\0[ -~]", "text in UTF-16", _PLAIN),
        (rb"\0....", "a record of a schema registry's serializer (a zero byte, then a schema's number)", _PLAIN),
        (rb"Obj\x01|\xc3\x01", "Avro", _PLAIN),
        (rb"\xac\xed\0\x05", "a serialized Java object", _PLAIN),
        (rb"\x80[\x02-\x05]", "a Python pickle", _PLAIN),
        (rb"\x1f\x8b|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|BZh", "compressed data", "let the Kafka client compress it"),
        (rb"PK\x03\x04", "a zip file", _PLAIN),
        (rb"\s*<", "XML or HTML", _PLAIN),
        (rb"(?i)(s3|gs|az|https?|file)://", "an address alone", _IMAGE),
        (rb"\s*eyJ", "JSON in Base64", _PLAIN),
        (rb"\w+(=|%3D)", "form data", _PLAIN),
        (rb"---|\w+: ", "YAML", _PLAIN),
        (rb"\s*\{\s*'", "JSON with single quotes", "write names and texts in double quotes"),
        (rb"[\x80-\x8f\xde\xdf].*[\xa0-\xbf\xd9]", "MessagePack", _PLAIN),
        (rb"[\xa1-\xb7\xbf]", "CBOR", _PLAIN),
        (rb"[\x08-\x7a]?[\0-\x08\x0e-\x1f\x7f-\xff]|\n[^\s{[\"]", "binary data, perhaps Protobuf or Avro", _PLAIN),
    )
)
# A text's escape: a whole surrogate pair, half of one, or another. A value that is cut within a pair ends too early.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})(?!(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z)|\\.",
    re.DOTALL,
)
_BOM = b"\xef\xbb\xbf"
_CUT = "Input data was truncated"
_LOOKED_AT = 64


def without_bom(value: bytes) -> bytes:
    """Return the text without a byte order mark, which some clients write before UTF-8."""
    return value.removeprefix(_BOM)


def explain_unreadable(value: bytes, error: Exception) -> str:
    """Explain why a value is not JSON. `error` is what decoding it raised, one of DECODE_ERRORS."""
    if not value:
        return "the request is empty: its record has no value (a tombstone?), or its CloudEvent has no data"
    if not value.strip():
        return "the request is blank: there is no JSON in its record"
    beginning = value[:_LOOKED_AT]
    for pattern, name, advice in _KINDS:
        if pattern.match(beginning):
            return f"the request is not JSON, it looks like {name}: {advice} (it begins with {_shown(value)})"
    return f"the request is not JSON: {_reason(value, error)}"


def _shown(value: bytes) -> str:
    """Return the first bytes as text where they are that, or else as hexadecimal digits."""
    first = value[:16]
    return repr(first.decode()) if re.fullmatch(rb"[ -~]+", first) else first[:8].hex(" ")


def _reason(value: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8: a text in it has the byte 0x{error.object[error.start]:02x}"
    text = str(error).removeprefix("JSON is malformed: ")
    if text == _CUT or "surrogate" in text:
        half = next((escape for escape in _ESCAPE.finditer(value) if escape[1]), None)
        if half:  # the decoder calls a value cut that ends soon after it
            return f"a text in it has half a surrogate pair ({half[1].decode()}, byte {half.start()})"
    if text.startswith("trailing characters"):
        return f"something follows its end; send one request per record ({text})"
    if text == _CUT:
        return "it ends too early"
    word = _word_at(value, text)
    return f"{text}, where it says {word!r}" if word else text


def _word_at(value: bytes, text: str) -> str:
    """Return the word at the byte that a message names, such as NaN, or an empty text."""
    byte = re.search(r"\(byte (\d+)\)", text)
    word = re.compile(rb"[-A-Za-z]{1,20}").match(value, int(byte[1])) if byte else None
    return word[0].decode() if word else ""
