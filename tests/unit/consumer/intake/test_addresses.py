"""A request whose addresses alone rule it out fails before any work, by the name of its field."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from consumer.delivery.failure_limit import blamed_address
from consumer.delivery.places import picture_of
from consumer.intake.addresses import check_addresses
from consumer.jobs import Encoded, File, Findings, Segmentation
from consumer.resources.destinations import Destinations
from consumer.resources.profile_selector import Selection
from consumer.stages.store import Store
from cutstream.clients.objects.store import ObjectStore
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.contract.options import Background
from cutstream.errors import AddressNotAllowed, Poison, RefusedAddress, RefusedBackground, RefusedDestination
from cutstream.images.geometry import Box
from cutstream.metrics import Metrics
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.jobs import job_of

MODEL = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
FINDINGS = Findings(Box(0, 0, 1, 1), 0.5, Segmentation(Selection("fast"), MODEL, 0.1))
ENCODED = Encoded((File("cutout", b"x", "image/png", "png", 1, 1),), FINDINGS)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    """A store that may read from and write to one folder and one bucket, and whose default destination is another."""
    settings = ObjectSettings(
        destination=str(tmp_path / "out"),
        file_roots=(tmp_path / "root",),
        allowed_buckets=("s3://shop",),
        s3_access_key_id="key",
        s3_secret_access_key=SecretStr("secret"),
    )
    return ObjectStore(settings, LimitSettings())


def composite(picture: str) -> dict[str, Any]:
    return {"outputs": ("composite",), "background": Background(image=picture)}


REFUSED: list[tuple[dict[str, Any], type[Poison], str, str]] = [
    ({"destination": "/etc"}, RefusedDestination, "request", "destination: an address must begin with a scheme"),
    ({"destination": "file:///etc"}, RefusedDestination, "settings", "destination: .*CUTSTREAM_OBJECTS__FILE_ROOTS"),
    ({"destination": "s3://other/a"}, RefusedDestination, "settings", "destination: .*ALLOWED_BUCKETS"),
    ({"destination": "https://shop.example.org/put"}, RefusedDestination, "request", "destination: https:// is not"),
    ({"destination": "ftp://shop/a"}, RefusedDestination, "request", "destination: ftp:// is not supported"),
    ({"destination": "s3://shop/../a"}, RefusedDestination, "request", "destination: "),
    ({"destination": f"s3://shop/{'a/' * 500}"}, RefusedDestination, "request", "destination: .*more than 1,024 bytes"),
    ({"destination": f"s3://shop/{'a' * 256}"}, RefusedDestination, "request", "destination: .*more than 255 bytes"),
    ({"destination": f"file:///{'%C3%A9' * 128}"}, RefusedDestination, "request", "destination: .*more than 255 bytes"),
    (
        {"destination": f"s3://shop{'/a' * 63}"},
        RefusedDestination,
        "request",
        "destination: .*has 65 parts; at most 64",
    ),
    ({"destination": f"file://{'/a' * 2000}"}, RefusedDestination, "request", "destination: .*has 2,002 parts"),
    ({"destination": f"file://{'/..' * 63}"}, RefusedDestination, "request", "destination: .*has 65 parts"),
    (
        {"destination": "file:///" + f"{'%41' * 80}/" * 16 + f"{'%C3%A9' * 127}/" * 11},
        RefusedDestination,
        "request",
        "destination: the path of an output has more than 4,095 bytes",
    ),
    ({"image": f"file://{'/a' * 65}"}, RefusedAddress, "request", "image: the path has 65 parts; at most 64"),
    ({"image": f"file:///{'a' * 256}"}, RefusedAddress, "request", "image: .*more than 255 bytes"),
    (composite(f"file://{'/a' * 65}"), RefusedBackground, "request", r"background\.image: the path has 65 parts"),
    ({"image": "/data/a.jpg"}, RefusedAddress, "request", "image: an address must begin with a scheme"),
    ({"image": "file:///etc/hostname"}, AddressNotAllowed, "settings", "image: .*CUTSTREAM_OBJECTS__FILE_ROOTS"),
    ({"image": "s3://other/a.jpg"}, AddressNotAllowed, "settings", "image: .*ALLOWED_BUCKETS"),
    ({"image": "http://127.0.0.1/a.jpg"}, AddressNotAllowed, "settings", "image: "),
    ({"image": "ftp://shop/a.jpg"}, RefusedAddress, "request", "image: ftp:// is not supported"),
    ({"image": "s3://shop/a//b"}, RefusedAddress, "request", "image: .*has an empty"),
    ({"image": "https://user:s3cr3t@shop/a"}, RefusedAddress, "request", "image: .*user name or password"),
    ({"image": "https://shop:port/a"}, RefusedAddress, "request", "image: .*form"),
    (composite("https://shop:port/a"), RefusedBackground, "request", r"background\.image: .*form"),
    (composite("file:///etc/hostname"), RefusedBackground, "settings", r"background\.image: .*FILE_ROOTS"),
    (composite("http://169.254.169.254/latest"), RefusedBackground, "settings", r"background\.image: "),
]


@pytest.mark.parametrize(("fields", "error", "points_to", "message"), REFUSED, ids=str)
def test_what_the_addresses_alone_rule_out_is_refused_by_field(
    objects: ObjectStore, fields: dict[str, Any], error: type[Poison], points_to: str, message: str
) -> None:
    job = job_of(**{"image": "s3://shop/a.jpg", **fields})
    with pytest.raises(error, match=message) as refused:
        check_addresses(job, objects)
    assert type(refused.value) is error
    assert refused.value.points_to == points_to


@pytest.mark.parametrize(
    "address",
    [
        *(
            "host/x?sig=s3cr3t",
            "//host/x?sig=s3cr3t",
            "http:/x?sig=s3cr3t",
            "https:host?s3cr3t",
            "/x?s3cr3t",
            "?s3cr3t",
        ),
        *("host?sig=s3cr3t&next=https://b", "http:/x?sig=s3cr3t&next=https://b", "//s3cr3t@host://x", "host#s3cr3t"),
        *("http\\\\host?s3cr3t", "s3cr3t@host", "host%3Fs3cr3t", "sig=s3cr3t", f"{'s3cr3t' * 9}://x"),
    ],
)
def test_an_address_without_its_scheme_is_refused_unquoted(objects: ObjectStore, address: str) -> None:
    for fields in ({"image": address}, {"destination": address}, composite(address)):
        with pytest.raises(
            (RefusedAddress, RefusedDestination, RefusedBackground), match="begin with a scheme"
        ) as told:
            check_addresses(job_of(**{"image": "s3://shop/a.jpg", **fields}), objects)
        assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    "fields",
    [
        lambda folder: {},
        lambda folder: {"image": (folder / "root" / "a.jpg").as_uri()},
        lambda folder: {"image": "https://shop.example.org/a.jpg"},
        lambda folder: {"destination": (folder / "root" / "new").as_uri()},
        lambda folder: {"destination": (folder / "out").as_uri()},
        lambda folder: {"destination": (folder / "root").as_uri() + "/a" * (61 - len(folder.parts))},
        lambda folder: {"destination": "s3://shop" + "/a" * 62},
        lambda folder: {"destination": (folder / "root").as_uri() + "/b" * 9 + "/.." * 9},
        lambda folder: {"destination": "s3://shop/cutouts/"},
        lambda folder: {"destination": f"s3://shop/{'a' * 255}/{'%2f' * 85}"},
        lambda folder: {"destination": f"{(folder / 'root').as_uri()}/{'%C3%A9' * 127}"},
        lambda folder: composite("a-name-in-the-catalogue"),
    ],
)
def test_what_may_succeed_is_not_refused(
    objects: ObjectStore, tmp_path: Path, fields: Callable[[Path], dict[str, Any]]
) -> None:
    check_addresses(job_of(**{"image": "s3://shop/a.jpg", **fields(tmp_path)}), objects)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.touch(), "is not a folder"),
        (lambda path: os.mkfifo(path), "is not a folder"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/null"), "CUTSTREAM_OBJECTS__FILE_ROOTS"),
    ],
    ids=["file", "FIFO", "loop of symlinks", "device elsewhere"],
)
@pytest.mark.parametrize("below", ["", "/", "/a/b"])
def test_a_destination_that_is_no_folder_is_refused_before_any_work(
    objects: ObjectStore, tmp_path: Path, make: Callable[[Path], None], message: str, below: str
) -> None:
    (tmp_path / "root").mkdir()
    make(tmp_path / "root" / "taken")
    with pytest.raises(RefusedDestination, match=f"destination: .*{message}"):
        check_addresses(job_of(destination=(tmp_path / "root" / "taken").as_uri() + below), objects)


def test_the_folder_of_a_request_may_be_taken_too(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    job = job_of(image="s3://shop/a.jpg", destination=(tmp_path / "out").as_uri())
    (tmp_path / "out" / job.id).touch()
    with pytest.raises(RefusedDestination, match=f"{job.id} is not a folder"):
        check_addresses(job, objects)


def test_the_default_destination_is_not_looked_at_for_it_may_be_away(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    check_addresses(job_of(image="s3://shop/a.jpg"), objects)


def test_as_many_symlinks_as_the_interpreter_can_follow_are_no_bug(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for number in range(1200):
        (tmp_path / "root" / str(number)).symlink_to(str(number + 1))
    job = job_of(destination=(tmp_path / "root" / "0").as_uri(), image=(tmp_path / "root" / "0").as_uri())
    with suppress(RefusedDestination, RefusedAddress):  # Python 3.13 follows them all
        check_addresses(job, objects)


def test_the_deepest_destination_can_be_written(objects: ObjectStore, tmp_path: Path) -> None:
    destination = (tmp_path / "root").as_uri() + "/a" * (61 - len(tmp_path.parts))
    job = job_of(image="s3://shop/a.jpg", destination=destination)
    check_addresses(job, objects)
    (stored,) = store_of(objects)(job, ENCODED).objects
    assert stored.uri.startswith(f"{destination}/")


def store_of(objects: ObjectStore) -> Store:
    return Store(objects, Destinations(objects.place_of_destination, 32, ManualClock()), Metrics())


def test_a_destination_that_turns_out_to_be_closed_is_named_too(objects: ObjectStore, monkeypatch) -> None:
    def deny(uri: str, data: bytes, media_type: str, named: bool) -> None:
        raise RefusedAddress("no access to the destination: AccessDenied")

    monkeypatch.setattr(objects, "put", deny)
    job = job_of(destination="s3://shop/out")
    with pytest.raises(RefusedDestination, match="destination: no access"):
        store_of(objects)(job, ENCODED)


def test_failures_of_one_destination_count_once(objects: ObjectStore) -> None:
    def subject_of(image: str, destination: str) -> str:
        job = job_of(image=image, destination=destination)
        with pytest.raises(RefusedDestination) as refused:
            check_addresses(job, objects)
        return picture_of(blamed_address(refused.value, job))

    assert subject_of("s3://shop/a.jpg", "s3://other/out") == subject_of("s3://shop/b.jpg", "S3://other/out/")
    assert subject_of("s3://shop/a.jpg", "s3://other/out") != subject_of("s3://shop/a.jpg", "s3://third/out")
