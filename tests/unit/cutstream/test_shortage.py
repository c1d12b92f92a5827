from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import Cancelled, OutOfResources, SourceFailed, StoreUnavailable, UnreadableImage
from cutstream.settings import LimitSettings, ObjectSettings
from cutstream.shortage import blaming_no_request
from tests.support.descriptors import no_descriptors


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    (tmp_path / "photo").write_bytes(b"a photo")
    objects = ObjectSettings(
        file_roots=(tmp_path,),
        destination=str(tmp_path / "out"),
        allow_private_addresses=True,
        s3_endpoint="http://127.0.0.1:9",
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    )
    return ObjectStore(objects, LimitSettings())


@pytest.mark.parametrize(
    "address",
    [
        "file:///photo",
        "http://127.0.0.1:9/photo",
        "http://localhost:9/photo",
        "http://no-such-host.invalid/photo",
        "https://127.0.0.1:9/photo",
        "s3://bucket/photo",
    ],
)
def test_no_source_is_to_blame_when_there_are_no_descriptors(store: ObjectStore, tmp_path: Path, address: str) -> None:
    address = address.replace("file://", tmp_path.as_uri())
    with no_descriptors(), pytest.raises(OutOfResources, match="Too many open files"):
        store.fetch(address)


def test_a_destination_waits_when_there_are_no_descriptors(store: ObjectStore, tmp_path: Path) -> None:
    with no_descriptors(), pytest.raises(StoreUnavailable):
        store.put((tmp_path / "out" / "cutout.png").as_uri(), b"", "image/png")
    with no_descriptors(), pytest.raises(OutOfResources):
        store.put((tmp_path / "out" / "cutout.png").as_uri(), b"", "image/png", named=True)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_shortage_is_found_wherever_it_is_among_the_causes(number: int) -> None:
    def fail() -> None:
        try:
            try:
                raise OSError(number, "none left")
            except OSError as exc:
                raise ValueError("wrapped", exc) from None
        except ValueError as exc:
            raise SourceFailed("no such photo") from exc

    with pytest.raises(OutOfResources), blaming_no_request():
        fail()
    with pytest.raises(OutOfResources), blaming_no_request():
        raise OSError(number, "none left")


def test_a_thread_that_cannot_be_started_is_a_shortage() -> None:
    with pytest.raises(OutOfResources), blaming_no_request():
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    "error", [UnreadableImage("broken"), OSError(errno.ENOENT, "absent"), RuntimeError("a bug"), KeyError("a bug")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, blaming_no_request():
        raise error
    assert raised.value is error


def test_errors_that_lead_back_to_each_other_are_looked_at_once() -> None:
    def fail() -> None:
        try:
            raise UnreadableImage("broken")
        except UnreadableImage as first:
            try:
                raise SourceFailed("also broken") from first
            except SourceFailed:
                raise first  # noqa: B904  its context is now the error that it has caused

    with pytest.raises(UnreadableImage), blaming_no_request():
        fail()


def test_a_request_that_was_called_off_ends_all_the_same() -> None:
    with no_descriptors(), pytest.raises(Cancelled), blaming_no_request():
        raise Cancelled("called off")
