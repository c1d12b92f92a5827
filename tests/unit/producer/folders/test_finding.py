"""The photos that a command line names, and what is left out."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutstream.clients.objects.buckets import Listed
from cutstream.errors import InvalidOption
from producer.folders.feeding import Feeder
from producer.folders.identity import options_digest, readable, request_id
from producer.folders.kinds import LeftOut
from producer.folders.sources import Finder, FoundPhoto, folders_of, names_a_folder
from producer.folders.walking import identity_of, walk


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in (
        *("shoes/a.jpg", "shoes/a.png", "shoes/b.jfif", "shirts/a.jpg", "тест.jpg", "my photo (1).JPG", "old.pjpeg"),
        *("x.svg", "y.pdf", "z.psd", "raw.CR2", "notes.txt", ".thumbs/a.jpg", "._mac.jpg", "cutout-0123456789ab.png"),
        *("cutouts/.cutstream/ledger.db", "cutouts/a.png"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def finder(lines: str = "", **options: object) -> Finder:
    return Finder(lambda prefix: iter(()), io.StringIO(lines), **options)  # type: ignore[arg-type]


def names(found: Iterator[FoundPhoto]) -> list[str]:
    return sorted(photo.name for photo in found)


ALL = ["my photo (1).JPG", "old.pjpeg", "shirts/a.jpg", "shoes/a.jpg", "shoes/a.png", "shoes/b.jfif", "тест.jpg"]


def test_a_folder_is_searched_and_what_is_left_out_is_counted(photos: Path) -> None:
    search = finder()
    assert names(search.find([str(photos)])) == ALL
    assert len(search.left_out) == 9

    assert all(kind in str(search.left_out) for kind in ("1 SVG", "1 PDF", "1 RAW", "1 hidden file", "1 other file"))
    assert "1 folder of cutouts" in str(search.left_out)


def test_photos_that_share_a_name_but_for_the_extension_are_told(photos: Path) -> None:
    assert {photo.name for photo in finder().find([str(photos)]) if photo.crowded} == {"shoes/a.jpg", "shoes/a.png"}


def test_the_folder_for_the_outputs_is_not_read(photos: Path) -> None:
    found = finder(ignored=identity_of(photos / "shoes")).find([str(photos)])
    assert not [name for name in names(found) if name.startswith("shoes")]


def test_several_files_are_named_from_the_folder_they_share(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert names(finder().find(["shoes/a.jpg", "shirts/a.jpg"])) == ["shirts/a.jpg", "shoes/a.jpg"]
    assert names(finder().find(["shoes/a.jpg"])) == ["a.jpg"]
    assert names(finder().find(["shoes", "shirts"])) == ["shirts/a.jpg", "shoes/a.jpg", "shoes/a.png", "shoes/b.jfif"]


def test_folders_of_one_name_are_told_apart_by_those_above_them(tmp_path: Path) -> None:
    for name in ("a1/photos", "a2/photos", "a2/more"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "p.jpg").touch()
    folders = [str(tmp_path / name) for name in ("a1/photos", "a2/photos", "a2/more")]
    assert names(finder().find(folders)) == ["a1/photos/p.jpg", "a2/photos/p.jpg", "more/p.jpg"]
    assert names(finder().find(folders[1:])) == ["more/p.jpg", "photos/p.jpg"]


def test_a_pattern_is_expanded_and_named_from_its_fixed_part(photos: Path) -> None:
    assert names(finder().find([f"{photos}/**/*.jp*g"])) == ["shirts/a.jpg", "shoes/a.jpg", "тест.jpg"]


def test_what_a_shell_has_expanded_may_hold_other_files(photos: Path) -> None:
    search = finder()
    assert names(search.find([str(photos / "x.svg"), str(photos / "тест.jpg")])) == ["тест.jpg"]
    assert str(search.left_out) == "skipped 1: 1 SVG"
    assert names(finder().find([str(photos / "notes.txt")])) == ["notes.txt"], "one that is named alone is meant"


def test_lines_name_files_folders_patterns_and_addresses(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    lines = "shoes/a.jpg\n\n  s3://bucket/x.jpg \nshirts\nшт*.jpg\nтест.*\nmissing.jpg\n"
    found = [photo.name for photo in finder(lines).find(["-"])]
    assert found == ["shoes/a.jpg", "bucket/x.jpg", "shirts/a.jpg", "тест.jpg", "missing.jpg"]


@pytest.mark.parametrize("argument", ["no-such-file", "no-such*", ""])
def test_what_names_nothing_is_an_error(argument: str) -> None:
    with pytest.raises(InvalidOption, match=r"names no photos|no photo is named"):
        list(finder().find([argument]))


def test_a_folder_with_nothing_but_other_files_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.svg").touch()
    with pytest.raises(InvalidOption, match=r"names no photos \(skipped 1: 1 SVG\)"):
        list(finder().find([str(tmp_path)]))


def test_a_part_of_a_bucket_is_listed_and_named_from_its_prefix() -> None:
    def listing(prefix: str) -> Iterator[Listed]:
        assert prefix == "s3://bucket/shoes/"
        for key in ("shoes/a.jpg", "shoes/x/b.png", "shoes/c.svg"):
            yield Listed(f"s3://bucket/{key}", key, f"tag of {key}")

    search = Finder(listing)
    found = list(search.find(["s3://bucket/shoes/"]))
    assert [(photo.address, photo.name) for photo in found] == [
        ("s3://bucket/shoes/a.jpg", "a.jpg"),
        ("s3://bucket/shoes/x/b.png", "x/b.png"),
    ]
    assert found[0].version == "tag of shoes/a.jpg"
    assert str(search.left_out) == "skipped 1: 1 SVG"


def test_a_changed_file_has_another_version(photos: Path) -> None:
    path = photos / "тест.jpg"
    (before,) = finder().find([str(path)])
    os.utime(path, ns=(1, 1))
    (after,) = finder().find([str(path)])
    assert before.version != after.version
    assert before.address == after.address


def test_links_to_folders_and_broken_links_are_left_out_and_links_to_photos_are_not(photos: Path) -> None:
    folder = photos.parent / "links"
    folder.mkdir()
    (folder / "loop.jpg").symlink_to(folder)
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "good.jpg").symlink_to(photos / "тест.jpg")
    left_out = LeftOut()
    assert [file.name for file in walk(str(folder), left_out)] == ["good.jpg"]
    assert sorted(str(left_out).removeprefix("skipped 2: ").split(", ")) == ["1 broken link", "1 linked folder"]


def test_counts_are_told_in_plain_words() -> None:
    left_out = LeftOut()
    assert (len(left_out), str(left_out)) == (0, "")
    for what, number in (("SVG", 2), ("folder of cutouts", 2), ("hidden file", 1200)):
        left_out.add(what, number)
    assert str(left_out) == "skipped 1,204: 1,200 hidden files, 2 SVG, 2 folders of cutouts"


def test_the_folders_that_a_worker_has_to_read(photos: Path) -> None:
    arguments = [str(photos), str(photos / "shoes" / "a.jpg"), f"{photos}/shirts/*.jpg", "s3://bucket/", "-"]
    assert folders_of(arguments) == [photos, photos / "shirts", photos / "shoes"]
    assert [names_a_folder(argument) for argument in arguments] == [True, False, True, True, False]


def test_ids_are_readable() -> None:
    assert readable("file:///photos/my%20photo%20(1).jpg") == "my-photo-1"
    assert readable("file:///%D1%82.jpg") == "photo"
    assert readable("https://shop.example/chair.jpg?size=full/x") == "chair"
    assert request_id("s3://b/chair.jpg", "", "x").startswith("chair-")


def test_labels_and_the_destination_change_no_picture() -> None:
    plain = options_digest({"outputs": ["cutout"]})
    assert plain == options_digest({"outputs": ["cutout"], "labels": {"batch": "1"}, "destination": "s3://x"})
    assert plain != options_digest({"outputs": ["mask"]})
    assert plain != options_digest({"outputs": ["cutout"]}, "another ledger")


def test_a_feeder_hands_on_what_is_found_and_what_goes_wrong() -> None:
    def find() -> Iterator[FoundPhoto]:
        yield from (FoundPhoto(str(number), str(number)) for number in range(9000))
        raise InvalidOption("no more")

    taken: list[FoundPhoto] = []

    def take_all(feeder: Feeder) -> None:
        while not feeder.ended:
            taken.extend(feeder.take(1.0))

    with Feeder(find) as feeder, pytest.raises(InvalidOption, match="no more"):
        take_all(feeder)
    assert [photo.name for photo in taken] == [str(number) for number in range(9000)]
