"""Laws of the names of outputs: no two photos share one, and none leads out of the folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from producer.folders.identity import request_id
from producer.folders.naming import name_of_address, output_name, stems
from producer.ledger import Entry, Ledger

SUFFIXES = [".jpg", ".JPG", ".png", ".heic", "", ".txt", " (jpg).png", ".jpg.png", " 2.jpg"]
parts = st.one_of(
    st.sampled_from(["a", "b", "failed", "contact-sheet", "a (png)", "тест", "x" * 250, "ж" * 120]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
        lambda part: part not in (".", "..")
    ),
    st.binary(min_size=1, max_size=8).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_") + b"x")),
)
names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(parts, max_size=3),
    parts,
    st.sampled_from(SUFFIXES),
)


def is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts) and "\0" not in path


@given(st.lists(st.tuples(names, st.booleans()), max_size=30, unique_by=lambda pair: pair[0]), st.booleans())
def test_no_two_photos_have_an_output_in_common_and_all_are_inside(
    found: list[tuple[str, bool]], is_only: bool
) -> None:
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
        ledger.begin("stream")
        for number, (name, crowded) in enumerate(found):
            ledger.add([Entry(f"id-{number}", f"file:///{number}", name, lambda n=name, c=crowded: stems(n, c))])
        jobs = ledger.take(100)
    outputs = ("cutout",) if is_only else ("cutout", "mask", "background")
    made = [output_name(job.stem or "", output, "png", is_only) for job in jobs for output in outputs]
    assert len(made) == len(set(made)) == len(found) * len(outputs)
    assert all(map(is_inside, made))
    assert [job.name for job in jobs] == [name for name, _ in found]
    assert all(len(os.fsencode(part)) <= 255 for path in made for part in path.split("/")[-1:])


@given(st.text(max_size=60), st.sampled_from(["s3", "https", "http", "gs", "file", "x"]))
def test_no_address_names_a_place_elsewhere(rest: str, scheme: str) -> None:
    assert is_inside(name_of_address(f"{scheme}://{rest}"))


@given(names, st.text(max_size=9), st.text(max_size=9))
def test_ids_depend_on_the_photo_its_version_and_the_options(name: str, version: str, options: str) -> None:
    from cutstream.clients.objects.files import uri_of
    from cutstream.contract.messages import Request, decode_request, encode

    source = uri_of(f"/{name}")
    id = request_id(source, version, options)
    assert id == request_id(source, version, options)
    assert decode_request(encode(Request(image="x://y", id=id))).id == id
    others = {request_id(source, version + "1", options), request_id(source, version, options + "1")}
    assert id not in others | {request_id(source + "1", version, options)}
