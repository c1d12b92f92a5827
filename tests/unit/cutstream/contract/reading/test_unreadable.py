"""A record that is no JSON is told what it looks like."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from cutstream.contract.envelope import STRUCTURED, open_envelope
from cutstream.contract.messages import decode_request
from cutstream.errors import InvalidRequest

REQUEST = '{"image": "s3://photos/chair.jpg"}'


def refusal(value: bytes) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode_request(value)
    return str(refused.value)


def image_file(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, format)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("request.json", REQUEST)
    return buffer.getvalue()


def protobuf(text: str) -> bytes:
    return b"\x0a" + bytes([len(text)]) + text.encode()


@pytest.mark.parametrize(
    ("format", "named"),
    [
        *((format, f"a {format} file") for format in ("JPEG", "PNG", "GIF", "TIFF", "BMP")),
        ("WEBP", "a WebP file"),
        ("AVIF", "an AVIF, HEIC"),
        ("JPEG2000", "JPEG 2000"),
    ],
)
def test_the_bytes_of_an_image_are_named_and_told_to_be_an_address(format: str, named: str) -> None:
    problem = refusal(image_file(format))
    assert problem.startswith("the request is not JSON, it looks like a")
    assert named in problem
    assert 'such as {"image": "s3://bucket/photo.jpg"}' in problem


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (REQUEST.encode("utf-16"), "text in UTF-16"),
        (REQUEST.encode("utf-16-le"), "text in UTF-16"),
        (REQUEST.encode("utf-16-be"), "text in UTF-16"),
        (REQUEST.encode("utf-32"), "text in UTF-32"),
        (REQUEST.encode("utf-32-le"), "text in UTF-32"),
        (REQUEST.encode("utf-32-be"), "text in UTF-32"),
        (struct.pack(">bI", 0, 17) + b"\x28s3://a", "a record of a schema registry's serializer"),
        (struct.pack(">bI", 0, 100_000) + REQUEST.encode(), "a record of a schema registry's serializer"),
        (b"Obj\x01\x02", "Avro"),
        (b"\xc3\x01" + bytes(8) + b"\x06abc", "Avro"),
        (protobuf("s3://a"), "binary data, perhaps Protobuf or Avro"),
        (protobuf("s3://photos/2030/chairs/front/0001.jpg"), "binary data, perhaps Protobuf or Avro"),
        (b"\x12\x06s3://a", "binary data, perhaps Protobuf or Avro"),
        (b"\xac\xed\0\x05t\0\x05hello", "a serialized Java object"),
        (pickle.dumps({"image": "a"}), "a Python pickle"),
        (gzip.compress(REQUEST.encode(), mtime=0), "compressed data"),
        (zipped(), "a zip file"),
        (b"<request><image>a</image></request>", "XML or HTML"),
        (b"  <!DOCTYPE html>", "XML or HTML"),
        (b"%PDF-1.7", "a PDF"),
        (b"s3://photos/chair.jpg", "an address alone"),
        (b"HTTPS://shop.example.org/a.jpg", "an address alone"),
        (b"eyJpbWFnZSI6ICJhIn0=", "JSON in Base64"),
        (b"image=s3%3A%2F%2Fa", "form data"),
        (b"image: s3://a\n", "YAML"),
        (b"{'image': 'a'}", "JSON with single quotes"),
        (b"\x81\xa5image\xa1a", "MessagePack"),
        (b"\xa1eimageaa", "CBOR"),
    ],
)
def test_what_is_no_json_is_named(value: bytes, named: str) -> None:
    assert refusal(value).startswith(f"the request is not JSON, it looks like {named}")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"", "the request is empty: its record has no value (a tombstone?), or its CloudEvent has no data"),
        (
            b"\xef\xbb\xbf",
            "the request is empty: its record has no value (a tombstone?), or its CloudEvent has no data",
        ),
        (b" \n", "the request is blank: there is no JSON in its record"),
        (b"{", "the request is not JSON: it ends too early"),
        (b'{\n "image": "a"', "the request is not JSON: it ends too early"),
        (
            REQUEST.encode() * 2,
            "something follows its end; send one request per record",
        ),
        (REQUEST.encode() + b"\0", "something follows its end; send one request per record"),
        (b'{"image": NaN}', "invalid character (byte 10), where it says 'NaN'"),
        (b'{"image": None}', "where it says 'None'"),
        (b'{"image": "caf\xe9"}', "it is not UTF-8: a text in it has the byte 0xe9"),
        (b'{"image": "\\ud83d and so on"}', "a text in it has half a surrogate pair"),
        (b'{"image": ' + b"[" * 100_000, "it is nested too deeply"),
        (b"{image: 1}", "object keys must be strings"),
    ],
)
def test_what_is_nearly_json_is_told_what_is_wrong(value: bytes, problem: str) -> None:
    assert problem in refusal(value)


def test_a_text_may_begin_with_a_byte_order_mark() -> None:
    marked = b"\xef\xbb\xbf" + REQUEST.encode()
    assert decode_request(marked) == decode_request(REQUEST.encode())
    assert decode_request(open_envelope(marked, []).payload) == decode_request(REQUEST.encode())
    event = b'{"specversion": "1.0", "id": "a", "source": "/", "type": "t", "data": %s}' % REQUEST.encode()
    headers = [("content-type", STRUCTURED.encode())]
    assert open_envelope(b"\xef\xbb\xbf" + event, headers) == open_envelope(event, headers)


@pytest.mark.parametrize("content_type", ["application/json", STRUCTURED])
def test_a_second_byte_order_mark_is_no_json(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="the request is not JSON"):
        decode_request(
            open_envelope(b"\xef\xbb\xbf" * 2 + REQUEST.encode(), [("content-type", content_type.encode())]).payload
        )


@pytest.mark.parametrize(
    "half", ["\\ud800", "\\uDBFF", "\\udc00", "\\uDFFF", "\\ud83d\\u0041", "\\ud83d\\ud83d\\ude00"]
)
@pytest.mark.parametrize(
    "text",
    [
        '{"image": "%s"}',
        '{"image": "%s and more text behind it"}',
        '{"image": "%s\\n"}',
        '{"image": "a\\\\%s"}',
        '{"image": "\\ud83d\\ude00%s", "quality": 1}',
        '{"%s": 1}',
        '{"image": "a", "labels": {"a": "%s"}}',
        '{"image": "a", "labels": {"%s": "a"}}',
        '{"image": "a", "unknown": ["%s"]}',
        '"%s"',
    ],
)
def test_half_a_surrogate_pair_is_named_wherever_it_is(text: str, half: str) -> None:
    value = (text % half).encode()
    with pytest.raises(InvalidRequest) as refused:
        decode_request(value)
    where = f"{half[:6]}, byte {value.index(half.encode())}"
    assert str(refused.value) == f"the request is not JSON: a text in it has half a surrogate pair ({where})"


@pytest.mark.parametrize("cut", [1, 3, 6, 7, 9, 11])
def test_a_text_that_is_cut_within_a_surrogate_pair_ends_too_early(cut: int) -> None:
    with pytest.raises(InvalidRequest, match="it ends too early"):
        decode_request(b'{"image": "' + b"\\ud83d\\ude00"[:cut])


def test_an_event_that_is_no_json_is_named_too() -> None:
    with pytest.raises(InvalidRequest, match=r"CloudEvent: the request is not JSON, it looks like text in UTF-16"):
        open_envelope(REQUEST.encode("utf-16"), [("content-type", STRUCTURED.encode())])
