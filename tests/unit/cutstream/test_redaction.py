from __future__ import annotations

import pytest

from cutstream.redaction import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:9000/path", "http://…@host:9000/path"),
        ("http://secret@host", "http://…@host"),
        ("s3://user:sec@ret/a b@bucket", "s3://…@bucket"),
        ("a:9092,user:secret@b:9092", "…@b:9092"),
        ("https://host/photo?signature=secret is refused", "https://host/photo?… is refused"),
        ("CUTSTREAM_X: user:secret@host is wrong", "CUTSTREAM_X: …@host is wrong"),
    ],
)
def test_what_addresses_must_not_show_is_left_out(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text", ["/data/me@home/out", "http://[::1]:9092/a/b", "broker:9092 (docs/settings.md#kafka)", "is it? yes"]
)
def test_everything_else_is_shown(text: str) -> None:
    assert redact(text) == text
