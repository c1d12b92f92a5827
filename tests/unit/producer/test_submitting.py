from __future__ import annotations

import re
from pathlib import Path

import pytest

from cutstream.contract.building import make_request_id
from cutstream.contract.messages import Request, decode_request, encode
from cutstream.errors import InvalidOption
from producer.submitting import combine_fields, find_references, parse_request_fields


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "notes.txt", "sub/deeper/d.tiff"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def file_names(references: list[str]) -> list[str]:
    return [reference.rpartition("/")[2] for reference in references]


def test_a_folder_is_searched_recursively_for_photos(photos: Path) -> None:
    found = list(find_references(str(photos), ()))
    assert file_names(found) == ["a.PNG", "b.jpg", "c.webp", "d.tiff"]
    assert all(reference.startswith("file:///") and "my%20photos" in reference for reference in found)


@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "a.heif", "a.gif", "a.bmp", "a.jp2", "a.JFIF", "a.tif", "a.avif"])
def test_a_folder_yields_photos_of_all_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "a.jxl").touch()
    assert [file.endswith(name) for file in find_references(str(tmp_path), ())] == [True]


def test_a_file_is_used_whatever_its_extension(photos: Path) -> None:
    assert list(find_references(str(photos / "notes.txt"), ())) == [(photos / "notes.txt").as_uri()]


def test_a_relative_path_becomes_an_absolute_address(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert list(find_references("b.jpg", ())) == [(photos / "b.jpg").as_uri()]


@pytest.mark.parametrize(
    ("pattern", "expected"), [("*.jpg", ["b.jpg"]), ("**/*.*", ["a.PNG", "b.jpg", "c.webp", "d.tiff"])]
)
def test_a_pattern_finds_image_files_only(photos: Path, pattern: str, expected: list[str]) -> None:
    assert file_names(list(find_references(str(photos / pattern), ()))) == expected


@pytest.mark.parametrize("address", ["s3://bucket/a.jpg", "https://example.org/a?b=c", "file:///a.png"])
def test_an_address_is_unchanged(address: str) -> None:
    assert list(find_references(address, ())) == [address]


def test_a_dash_reads_arguments_from_lines(photos: Path) -> None:
    lines = ["s3://bucket/a.jpg\n", "\n", f"  {photos}/*.jpg \n", f"{photos / 'sub'}"]
    assert file_names(list(find_references("-", lines))) == ["a.jpg", "b.jpg", "c.webp", "d.tiff"]


def test_finding_no_photo_is_an_error_that_lists_what_is_possible(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for argument in (str(tmp_path / "empty"), str(tmp_path / "missing.jpg"), str(photos / "*.gif")):
        with pytest.raises(InvalidOption, match=re.escape(argument) + r".* names no photos: give a folder"):
            list(find_references(argument, ()))


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
def test_ids_are_valid_and_unique(reference: str) -> None:
    first, second = make_request_id(reference), make_request_id(reference)
    assert first != second
    assert decode_request(encode(Request(image=reference, id=first))).id == first


def test_an_id_is_readable() -> None:
    assert re.fullmatch(r"chair-[0-9a-f]{8}", make_request_id("https://example.org/photos/chair.jpg?size=full"))


def test_fields_are_read_from_json_or_a_json_file(tmp_path: Path) -> None:
    file = tmp_path / "studio.json"
    file.write_text('{"shadow": "cast"}')
    assert parse_request_fields(None) == {}
    assert parse_request_fields(' {"canvas": "100x100"}') == {"canvas": "100x100"}
    assert parse_request_fields(str(file)) == {"shadow": "cast"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("{shadow: cast}", "not JSON"),
        ("studio.json", "neither JSON nor a file"),
        ('{"id": "a", "image": "b"}', "id and image differ"),
    ],
)
def test_unusable_fields_are_errors(
    argument: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption, match=message):
        parse_request_fields(argument)


def test_fields_must_be_an_object(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text("[1]")
    with pytest.raises(InvalidOption, match="JSON object"):
        parse_request_fields(str(file))


@pytest.mark.parametrize(
    ("options", "further", "outputs"),
    [
        ({"background": None}, {}, ["cutout"]),
        ({"background": {"color": "red"}}, {}, ["composite"]),
        ({}, {"background": {"image": "oak"}}, ["composite"]),
        ({"background": {"color": "red"}, "outputs": ["layers"]}, {}, ["layers"]),
        ({"background": {"color": "red"}}, {"outputs": ["layers"]}, ["layers"]),
    ],
)
def test_a_background_asks_for_a_composite_unless_outputs_are_given(
    options: dict[str, object], further: dict[str, object], outputs: list[str]
) -> None:
    assert combine_fields(options, further)["outputs"] == outputs


def test_further_fields_take_precedence_and_options_not_given_are_left_out() -> None:
    options = {"format": "png", "profile": None, "crop": False}
    assert combine_fields(options, {"format": "webp"}) == {"outputs": ["cutout"], "format": "webp", "crop": False}
