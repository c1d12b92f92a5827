"""What holds for every place that sources lie in and outputs are written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import FileTooLarge, RefusedAddress, SourceFailed
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.http_server import HttpServer, serving

LIMIT = 100_000
LIMITS = LimitSettings(max_source_bytes=LIMIT)
PHOTO = bytes(range(256)) * 10


@dataclass
class Place:
    """`lay` puts an object there behind the client's back and tells its address."""

    objects: ObjectStore
    base: str
    elsewhere: str
    lay: Callable[[str, bytes], str]


@pytest.fixture
def file_place(tmp_path: Path) -> Place:
    root = tmp_path / "root"
    root.mkdir()

    def lay(name: str, data: bytes) -> str:
        (root / name).write_bytes(data)
        return (root / name).as_uri()

    objects = ObjectStore(ObjectSettings(destination=str(root / "out"), file_roots=(root,)), LIMITS)
    return Place(objects, root.as_uri(), (tmp_path / "secret.jpg").as_uri(), lay)


@pytest.fixture
def s3_place(request: pytest.FixtureRequest, fresh_name: Callable[[str], str]) -> Place:
    server, name = request.getfixturevalue("s3"), fresh_name("photos")
    folder = server.bucket(name)

    def lay(name_: str, data: bytes) -> str:
        (folder / name_).write_bytes(data)
        return f"s3://{name}/{name_}"

    settings = server.settings(destination=f"s3://{name}/out", allowed_buckets=(name,))
    return Place(ObjectStore(settings, LIMITS), f"s3://{name}", "s3://someone-elses/photo.jpg", lay)


@pytest.fixture
def http_place() -> Iterator[Place]:
    with serving(HttpServer()) as server:

        def lay(name: str, data: bytes) -> str:
            server.files[name] = data
            return server.url(f"files/{name}")

        settings = ObjectSettings(allowed_hosts=("127.0.0.1",), allow_private_addresses=True)
        yield Place(ObjectStore(settings, LIMITS), server.url("files"), server.url("files/x", "localhost"), lay)


WRITABLE = [pytest.param("file_place", id="file"), pytest.param("s3_place", id="s3", marks=pytest.mark.s3)]


@pytest.fixture(params=[*WRITABLE, pytest.param("http_place", id="http")])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=WRITABLE)
def writable(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


def test_what_lies_there_is_fetched(place: Place) -> None:
    assert place.objects.fetch(place.lay("photo.jpg", PHOTO)) == PHOTO


def test_an_empty_object_is_empty_bytes(place: Place) -> None:
    assert place.objects.fetch(place.lay("empty.jpg", b"")) == b""


def test_a_missing_object_fails(place: Place) -> None:
    with pytest.raises(SourceFailed, match=r"missing\.jpg"):
        place.objects.fetch(f"{place.base}/missing.jpg")


def test_an_address_elsewhere_is_refused(place: Place) -> None:
    with pytest.raises(RefusedAddress, match="CUTSTREAM_OBJECTS__"):
        place.objects.fetch(place.elsewhere)


def test_the_largest_object_is_accepted(place: Place) -> None:
    assert len(place.objects.fetch(place.lay("large.jpg", bytes(LIMIT)))) == LIMIT


def test_one_byte_more_is_too_large(place: Place) -> None:
    with pytest.raises(FileTooLarge, match=str(LIMIT)):
        place.objects.fetch(place.lay("too-large.jpg", bytes(LIMIT + 1)))


def test_many_threads_share_one_client(place: Place) -> None:
    addresses = [place.lay(f"{number}.jpg", bytes([number]) * 1000) for number in range(32)]
    with ThreadPoolExecutor(16) as threads:
        fetched = list(threads.map(place.objects.fetch, addresses))
    assert fetched == [bytes([number]) * 1000 for number in range(32)]


def test_what_is_put_is_fetched(writable: Place) -> None:
    uri = writable.objects.resolve(None, "job-1/cutout-abc.png")
    writable.objects.put(uri, PHOTO, "image/png")
    assert writable.objects.fetch(uri) == PHOTO


def test_a_repeat_overwrites(writable: Place) -> None:
    uri = writable.objects.resolve(None, "job-1/cutout-abc.png")
    for data in (b"first, and longer", PHOTO, PHOTO):
        writable.objects.put(uri, data, "image/png")
    assert writable.objects.fetch(uri) == PHOTO


def test_a_request_may_name_a_place_that_is_allowed(writable: Place) -> None:
    uri = writable.objects.resolve(f"{writable.base}/orders/7/", "job-1/mask.png")
    assert uri == f"{writable.base}/orders/7/job-1/mask.png"
    writable.objects.put(uri, PHOTO, "image/png")
    assert writable.objects.fetch(uri) == PHOTO


def test_a_request_may_not_name_another_place(writable: Place) -> None:
    with pytest.raises(RefusedAddress, match="CUTSTREAM_OBJECTS__"):
        writable.objects.resolve(writable.elsewhere, "job-1/mask.png")
    with pytest.raises(RefusedAddress, match="CUTSTREAM_OBJECTS__"):
        writable.objects.put(f"{writable.elsewhere}/mask.png", PHOTO, "image/png", named=True)


def test_many_threads_write_the_same_object(writable: Place) -> None:
    uri = writable.objects.resolve(None, "job-1/cutout-abc.png")
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(writable.objects.put, uri, PHOTO, "image/png") for _ in range(16)]:
            done.result()
    assert writable.objects.fetch(uri) == PHOTO


@pytest.mark.s3
def test_a_part_of_a_bucket_is_listed_with_tags_that_tell_changes(s3_place: Place) -> None:
    objects, base = s3_place.objects, s3_place.base
    for key in ("shoes/тест 1.jpg", "shoes/deep/b.jpg", "shirts/c.jpg"):
        objects.put(f"{base}/out/{key}", key.encode(), "image/jpeg")
    found = {listed.uri: listed.tag for listed in objects.list(f"{base}/out/shoes/")}
    assert found.keys() == {f"{base}/out/shoes/тест 1.jpg", f"{base}/out/shoes/deep/b.jpg"}
    assert len({listed.uri for listed in objects.list(f"{base}/out")}) == 3
    objects.put(f"{base}/out/shoes/deep/b.jpg", b"changed", "image/jpeg")
    again = {listed.uri: listed.tag for listed in objects.list(f"{base}/out/shoes/")}
    assert {uri for uri in found if found[uri] != again[uri]} == {f"{base}/out/shoes/deep/b.jpg"}
    assert objects.fetch(f"{base}/out/shoes/тест 1.jpg") == "shoes/тест 1.jpg".encode()
    with pytest.raises(RefusedAddress, match="CUTSTREAM_OBJECTS__"):
        list(objects.list("s3://someone-elses/shoes/"))
    assert list(objects.list(f"{base}/nothing/")) == []
