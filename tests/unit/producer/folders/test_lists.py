"""Lists on standard input: how they are read, and what becomes of entries that name nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutstream.clients.objects.files import path_of
from cutstream.errors import InvalidOption
from producer.folders import lists
from producer.folders.lists import names_of, read_list
from producer.folders.sources import Finder


class Pipe(io.BytesIO):
    """Hands on what another program has written so far."""

    def __init__(self, *written: bytes) -> None:
        super().__init__()
        self._written = iter(written)

    def read1(self, size: int | None = -1) -> bytes:
        return next(self._written, b"")


def read(*written: bytes) -> list[str]:
    return list(read_list(Pipe(*written)))


def test_entries_stand_in_lines_or_have_a_nul_behind_each() -> None:
    assert read(b"a.jpg\nb", b".jpg\n", b"c.jpg") == ["a.jpg", "b.jpg", "c.jpg"]
    assert read(b"a.jpg\0b\nc", b".jpg\0") == ["a.jpg", "b\nc.jpg"], "names may have new lines"
    assert read(b"\xef\xbb\xbfa.jpg\r\n") == ["a.jpg\r"]
    assert read(b"\xff\xe9.jpg\n") == [os.fsdecode(b"\xff\xe9.jpg")], "as names of files are decoded"
    assert read() == []


def test_entries_come_as_they_are_written() -> None:
    def written() -> Iterator[bytes]:
        yield b"a.jpg\n"
        raise AssertionError("it waits for the next one")

    assert next(read_list(Pipe(*[b"a.jpg\n"]))) == "a.jpg"
    pipe = Pipe()
    pipe._written = written()
    assert next(read_list(pipe)) == "a.jpg"


def test_what_is_no_list_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_MOST_BYTES", 100)
    with pytest.raises(InvalidOption, match="no list of photos"):
        read(*[b"x" * 64] * 4)


def test_entries_that_name_nothing_are_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", " blank .jpg", "new\nline.jpg", "shoes/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo("pipe.jpg")
    good = [
        "a.jpg",
        "  a.jpg\r\n",
        " blank .jpg",
        "new\nline.jpg",
        "shoes",
        "*.jpg",
        "s3://b/k.jpg",
        "file:///far/away",
    ]
    bad = [
        "nope.jpg",
        "\x01\udcff\x02",
        "a.jpg\0b.jpg",
        "no*.png",
        "~nobody-of-this-name/a.jpg",
        "x" * 5000,
        "pipe.jpg",
    ]
    bad += ["s3://b/\udce9.jpg", "file://host/a.jpg", "file:///a%00b"]
    told: list[str] = []
    lines = names_of([*good[:4], *bad, "", " \n", *good[4:]], told.append)
    found = [path_of(photo.address) for photo in Finder(lambda prefix: iter(()), lines).find(["-"]) if photo.version]
    assert told == bad
    assert found[:4] == [str(tmp_path / name) for name in ("a.jpg", "a.jpg", " blank .jpg", "new\nline.jpg")]
    assert len(found) == 4 + 1 + 3, "the folder and the pattern follow"
