from __future__ import annotations

import re
from pathlib import Path

import pytest

from cutstream.contract.messages import Request, decode_request, encode
from cutstream.errors import InvalidOption
from producer.submitting import references, request_fields, request_id


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "notes.txt", "sub/deeper/d.tiff"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def named(found: list[str]) -> list[str]:
    return [reference.rpartition("/")[2] for reference in found]


def test_a_folder_is_searched_through_for_pictures(photos: Path) -> None:
    found = list(references(str(photos), ()))
    assert named(found) == ["a.PNG", "b.jpg", "c.webp", "d.tiff"]
    assert all(reference.startswith("file:///") and "my%20photos" in reference for reference in found)


def test_a_file_is_taken_whatever_its_name(photos: Path) -> None:
    assert list(references(str(photos / "notes.txt"), ())) == [(photos / "notes.txt").as_uri()]


def test_a_relative_path_becomes_an_absolute_address(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert list(references("b.jpg", ())) == [(photos / "b.jpg").as_uri()]


@pytest.mark.parametrize(
    ("pattern", "expected"), [("*.jpg", ["b.jpg"]), ("**/*.*", ["a.PNG", "b.jpg", "c.webp", "d.tiff"])]
)
def test_a_pattern_finds_pictures_only(photos: Path, pattern: str, expected: list[str]) -> None:
    assert named(list(references(str(photos / pattern), ()))) == expected


@pytest.mark.parametrize("address", ["s3://bucket/a.jpg", "https://example.org/a?b=c", "file:///a.png"])
def test_an_address_is_passed_on_as_it_is(address: str) -> None:
    assert list(references(address, ())) == [address]


def test_a_dash_reads_any_of_these_from_lines(photos: Path) -> None:
    lines = ["s3://bucket/a.jpg\n", "\n", f"  {photos}/*.jpg \n", f"{photos / 'sub'}"]
    assert named(list(references("-", lines))) == ["a.jpg", "b.jpg", "c.webp", "d.tiff"]


def test_nothing_found_says_what_to_give(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for argument in (str(tmp_path / "empty"), str(tmp_path / "missing.jpg"), str(photos / "*.gif")):
        with pytest.raises(InvalidOption, match=re.escape(argument) + r".* names no pictures: give a folder"):
            list(references(argument, ()))


@pytest.mark.parametrize(
    "reference",
    [
        "file:///my%20photos/chair.jpg",
        "https://example.org/a/b.jpg?size=1/2",
        "s3://b/übergröße.png",
        "s3://b/",
        "s3://b/..",
        "x://" + "n" * 500,
    ],
)
def test_an_id_is_one_that_the_worker_accepts_and_never_the_same_twice(reference: str) -> None:
    first, second = request_id(reference), request_id(reference)
    assert first != second
    assert decode_request(encode(Request(image=reference, id=first))).id == first


def test_an_id_is_readable() -> None:
    assert re.fullmatch(r"chair-[0-9a-f]{8}", request_id("https://example.org/photos/chair.jpg?size=full"))


def test_fields_come_from_json_or_a_file_of_it(tmp_path: Path) -> None:
    file = tmp_path / "studio.json"
    file.write_text('{"shadow": "cast"}')
    assert request_fields(None) == {}
    assert request_fields(' {"canvas": "100x100"}') == {"canvas": "100x100"}
    assert request_fields(str(file)) == {"shadow": "cast"}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("{shadow: cast}", "not JSON"),
        ("studio.json", "neither JSON nor a file"),
        ('{"id": "a", "image": "b"}', "id and image differ"),
    ],
)
def test_fields_that_cannot_be_used(argument: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption, match=said):
        request_fields(argument)


def test_fields_are_an_object(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text("[1]")
    with pytest.raises(InvalidOption, match="JSON object"):
        request_fields(str(file))
