from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest

from cutstream.contract.backgrounds import Entry, apply, check_name, encode, is_address
from cutstream.errors import InvalidOption

ENTRY = Entry(
    uri="s3://ours/backgrounds/beach-000000000000.jpg",
    sha256="0" * 64,
    bytes=1234,
    width=600,
    height=400,
    added=datetime(2030, 1, 31, 12, tzinfo=timezone.utc),
)


@pytest.mark.parametrize(
    ("image", "address"),
    [("s3://a/b", True), ("https://a/b.jpg", True), ("beach", False), ("a.b-c_9", False), ("my beach", False)]
    + [
        (image, True) for image in ("host/x?sig=s", "//host/x", "http:/x", "host#x", "a\\b", "x?sig", "u@host", "a%2fb")
    ],
)
def test_what_is_an_address(image: str, address: bool) -> None:
    assert is_address(image) is address


@pytest.mark.parametrize("name", ["beach", "a", "A.b_c-9", "..", "x" * 100])
def test_names_that_may_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "a/b", "a://b", "strand\n", "straße", "a:b"])
def test_names_that_may_not_be(name: str) -> None:
    with pytest.raises(InvalidOption, match="letters, digits"):
        check_name(name)


def test_the_last_record_of_a_name_counts_and_one_without_value_removes_it() -> None:
    entries: dict[str, Entry] = {}
    other = Entry(uri="s3://x/y", sha256="f" * 64, bytes=1, width=1, height=1, added=ENTRY.added)
    for key, value in ((b"beach", encode(ENTRY)), (b"wood", encode(ENTRY)), (b"beach", encode(other)), (b"wood", b"")):
        apply(entries, key, value)
    assert entries == {"beach": other}
    apply(entries, b"never", b"")
    assert entries == {"beach": other}


def test_a_later_version_may_write_more_fields() -> None:
    entries: dict[str, Entry] = {}
    apply(entries, b"beach", encode(ENTRY)[:-1] + b',"licence":"CC0"}')
    assert entries == {"beach": ENTRY}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode(ENTRY)),
        (b"", encode(ENTRY)),
        (b"a b", encode(ENTRY)),
        (b"\xff", encode(ENTRY)),
        (b"beach", b"{"),
        (b"beach", b"\xff"),
        (b"beach", b"[" * 10_000),
        (b"beach", b'{"uri": "s3://x/y"}'),
        (b"beach", encode(ENTRY).replace(b"1234", b"0")),
        (b"beach", encode(ENTRY).replace(b"0" * 64, b"0" * 63)),
    ],
)
def test_a_record_that_is_none_of_ours_is_logged_and_changes_nothing(
    key: bytes | None, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    entries = {"beach": ENTRY}
    with caplog.at_level(logging.WARNING):
        apply(entries, key, value)
    assert entries == {"beach": ENTRY}
    assert "skipped" in caplog.text
    assert "Expected `" not in caplog.text
