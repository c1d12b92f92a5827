"""Where the outputs of a photo go."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from producer.folders.naming import name_of_address, output_name, safe_path, stems


@pytest.mark.parametrize(
    ("name", "crowded", "expected"),
    [
        ("a.jpg", False, ["a", "a (jpg)", "a (jpg) 2", "a (jpg) 3"]),
        ("a.JPEG", True, ["a (jpeg)", "a (jpeg) 2"]),
        ("shoes/my photo (1).jpg", False, ["shoes/my photo (1)", "shoes/my photo (1) (jpg)"]),
        ("мои фото/тест.heic", False, ["мои фото/тест", "мои фото/тест (heic)"]),
        ("v1.2.final.png", False, ["v1.2.final", "v1.2.final (png)"]),
        ("photo", False, ["photo", "photo 2", "photo 3"]),
        ("notes.txt", False, ["notes.txt", "notes.txt 2"]),
        ("failed.png", False, ["failed (png)", "failed (png) 2"]),
        ("shoes/failed.png", False, ["shoes/failed"]),
        ("contact-sheet.jpg", False, ["contact-sheet (jpg)"]),
    ],
)
def test_a_photo_keeps_its_folder_and_its_name(name: str, crowded: bool, expected: list[str]) -> None:
    assert list(islice(stems(name, crowded), len(expected))) == expected


def test_a_name_that_fills_its_file_system_is_cut_and_stays_different() -> None:
    names = [f"{'ж' * 120}{end}.jpg" for end in ("1", "2")]
    first, second = (next(stems(name)) for name in names)
    assert first != second
    assert len(os.fsencode(output_name(first, "background", "webp", False))) <= 255


def test_a_name_that_is_not_utf_8_is_kept() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert os.fsencode(next(stems(name))) == b"caf\xe9"
    long = os.fsdecode(b"\xe9" * 250 + b".jpg")
    assert len(os.fsencode(next(stems(long)))) <= 200


def test_one_output_has_the_photos_name_and_several_say_what_they_are() -> None:
    assert output_name("shoes/a", "cutout", "png", True) == "shoes/a.png"
    assert output_name("shoes/a", "mask", "png", False) == "shoes/a.mask.png"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("s3://bucket/shoes/a b.jpg", "bucket/shoes/a b.jpg"),
        ("https://shop.example/a%20b.jpg?size=1/2", "shop.example/a b.jpg"),
        ("https://shop.example/..%2f..%2fetc/passwd", "shop.example/.._.._etc/passwd"),
        ("https://shop.example/../../etc//x", "shop.example/etc/x"),
        ("s3://bucket/a%20b", "bucket/a%20b"),
        ("x://", "photo"),
    ],
)
def test_an_address_has_a_name_that_leads_nowhere_else(address: str, name: str) -> None:
    assert name_of_address(address) == name


def test_parts_of_a_path_cannot_lead_out_of_it() -> None:
    assert safe_path(["", "..", ".", "a\0b", "c/d", "e\n"]) == "a_b/c_d/e_"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://user:secretpw@127.0.0.1:9/x.jpg", "127.0.0.1:9/x.jpg"),
        ("http://user:se/cret@host/x.jpg", "host/x.jpg"),
        ("https://host:80/a@2x.jpg", "host:80/a@2x.jpg"),
        ("https://[::1]:8/a@b.jpg", "[::1]:8/a@b.jpg"),
        ("s3://key:secret@bucket/x.jpg", "bucket/x.jpg"),
        ("s3://bucket/a:b@c.jpg", "bucket/a:b@c.jpg"),
    ],
)
def test_no_name_holds_a_password(address: str, name: str) -> None:
    assert name_of_address(address) == name
