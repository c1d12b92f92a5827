"""Objects of the gateway's own, in a folder and in a bucket."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cutstream.clients.objects.own_objects import ObjectMissing, OwnObjects
from cutstream.errors import AddressNotAllowed, SourceFailed
from cutstream.settings import ObjectSettings


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> OwnObjects:
    if request.param == "folder":
        return OwnObjects(str(tmp_path / "own"), ObjectSettings())
    server = request.getfixturevalue("s3")
    bucket = f"own-{time.time_ns()}"
    server.bucket(bucket)
    return OwnObjects(f"s3://{bucket}/uploads", server.settings())


def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "incoming"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_an_object_is_stored_read_and_removed(place: OwnObjects, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    uri = place.put_file("id/cutout.png", file(tmp_path, data))
    assert uri == place.address("id/cutout.png")
    assert not (tmp_path / "incoming").exists()
    opened = place.open(uri)
    assert opened.size == size
    assert b"".join(opened.chunks) == data
    place.remove(uri)
    place.remove(uri)
    with pytest.raises(SourceFailed):
        place.open(uri)
    with pytest.raises(ObjectMissing):
        place.open(uri)
    if place.folder is not None:
        assert not (place.folder / "id").exists()


def test_nothing_outside_is_touched(place: OwnObjects, tmp_path: Path) -> None:
    for uri in ("file:///etc/passwd", "s3://other/key", f"{place.prefix}-2/key"):
        with pytest.raises(AddressNotAllowed):
            place.open(uri)
        with pytest.raises(AddressNotAllowed):
            place.remove(uri)
    if place.folder is not None:
        with pytest.raises(AddressNotAllowed):
            place.open(f"{place.prefix}/../passwd")
        place.put_file("real", file(tmp_path, b"x"))
        (place.folder / "link").symlink_to("/etc/passwd")
        with pytest.raises(SourceFailed):
            place.open(place.address("link"))


def test_what_is_old_is_swept(place: OwnObjects, tmp_path: Path) -> None:
    kept = place.put_file("gw1-c-kept", file(tmp_path, b"1"))
    place.put_file("gw1-c-old", file(tmp_path, b"2"))
    place.put_file("gw2-c-old", file(tmp_path, b"3"))
    assert place.sweep("gw1-c-", 3600) == 0
    time.sleep(1.1)
    assert place.sweep("gw1-c-", 0, keep={kept}) == 1
    assert b"".join(place.open(kept).chunks) == b"1"
    assert place.sweep("gw2-c-", 0) == 1


def test_a_signed_address_is_for_buckets(place: OwnObjects, tmp_path: Path) -> None:
    uri = place.put_file("id/cutout.png", file(tmp_path, b"x"))
    signed = place.sign(uri, 60)
    assert (signed is None) == (place.folder is not None)
    assert signed is None or "X-Amz-Signature" in signed
