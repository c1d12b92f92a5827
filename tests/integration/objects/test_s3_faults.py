"""What goes wrong with a real S3 server, and whose fault it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest
from pydantic import SecretStr

from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import OutputRefused, RefusedAddress, SourceFailed, SourceUnavailable, StoreUnavailable
from cutstream.settings import LimitSettings
from tests.support.s3_server import S3Server, s3_server

pytestmark = pytest.mark.s3
LIMITS = LimitSettings(download_timeout_s=0.5)


@pytest.fixture
def bucket(s3: S3Server, fresh_name: Callable[[str], str]) -> str:
    name = fresh_name("photos")
    (s3.bucket(name) / "photo.jpg").write_bytes(b"photo")
    return name


@pytest.mark.parametrize(
    "key", ["my photo.jpg", "a%20b.jpg", "ü/é.jpg", "x?y=1&z=2#top.jpg", "a+b=c@d.jpg", "~(1).jpg"]
)
def test_keys_are_taken_literally(s3: S3Server, bucket: str, key: str) -> None:
    objects = ObjectStore(s3.settings(destination=f"s3://{bucket}"), LIMITS)
    uri = objects.resolve(None, key)
    objects.put(uri, key.encode(), "image/jpeg")
    assert objects.fetch(uri) == key.encode()
    assert (s3.folder / bucket / key).read_bytes() == key.encode()


def test_the_media_type_is_stored(s3: S3Server, bucket: str) -> None:
    objects = ObjectStore(s3.settings(destination=f"s3://{bucket}"), LIMITS)
    objects.put(f"s3://{bucket}/k.png", b"", "image/png")
    store = objects._destinations[0]._store("s3", bucket)
    assert obstore.head(store, "k.png")["size"] == 0
    assert obstore.get(store, "k.png").attributes["Content-Type"] == "image/png"


def test_a_wrong_secret(s3: S3Server, bucket: str) -> None:
    settings = s3.settings(
        destination=f"s3://{bucket}/out", allowed_buckets=(bucket,), s3_secret_access_key=SecretStr("wrong-secret")
    )
    objects = ObjectStore(settings, LIMITS)
    with pytest.raises(SourceFailed, match="403"):
        objects.fetch(f"s3://{bucket}/photo.jpg")
    with pytest.raises(StoreUnavailable, match="CUTSTREAM_OBJECTS__DESTINATION"):
        objects.put(objects.resolve(None, "k.png"), b"", "image/png")
    with pytest.raises(RefusedAddress, match="no access"):
        objects.put(objects.resolve(f"s3://{bucket}/orders", "k.png"), b"", "image/png", named=True)


def test_a_missing_bucket(s3: S3Server) -> None:
    objects = ObjectStore(s3.settings(destination="s3://no-such-bucket", allowed_buckets=("nor-this-one",)), LIMITS)
    with pytest.raises(SourceFailed, match="NoSuchBucket"):
        objects.fetch("s3://nor-this-one/photo.jpg")
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        objects.put("s3://no-such-bucket/k.png", b"", "image/png")
    with pytest.raises(RefusedAddress, match="NoSuchBucket"):
        objects.put("s3://nor-this-one/k.png", b"", "image/png", named=True)


def put_until_refused(objects: ObjectStore, key: str, attempts: int) -> str:
    """Try as often, and return the error of the object itself; empty if the place is waited for to the end."""
    for _ in range(attempts):
        try:
            objects.put(objects.resolve(None, key), b"photo", "image/png")
        except StoreUnavailable:
            continue
        except OutputRefused as exc:
            return str(exc)
        raise AssertionError("written")
    return ""


def test_names_that_another_request_has_taken_are_no_outage(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way round: an object's name is a folder, and a folder's name is an object."""
    monkeypatch.setattr("cutstream.clients.objects.refusals._PROBE_INTERVAL_S", 0.0)
    objects = ObjectStore(s3.settings(destination=f"s3://{bucket}/out"), LIMITS)
    name = "cutout-0123456789ab.png"
    for destination, folder in ((f"s3://{bucket}/out/victim/{name}", "thief"), (f"s3://{bucket}", "out")):
        objects.put(objects.resolve(destination, f"{folder}/{name}"), b"", "image/png", named=True)
    assert "409" in put_until_refused(objects, f"victim/{name}", 5)
    assert put_until_refused(objects, f"{name}/{name}", 5)
    objects.put(objects.resolve(None, f"victim/other-{name}"), b"", "image/png")


def test_a_bucket_that_is_made_late_is_waited_for(
    s3: S3Server, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutstream.clients.objects.refusals._PROBE_INTERVAL_S", 0.0)
    name = fresh_name("late")
    objects = ObjectStore(s3.settings(destination=f"s3://{name}/out"), LIMITS)
    assert put_until_refused(objects, "job/k.png", 20) == ""
    s3.bucket(name)
    objects.put(objects.resolve(None, "job/k.png"), b"", "image/png")


def test_a_server_that_goes_away_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    with s3_server(s3.binary, tmp_path) as server:
        server.bucket("photos")
        objects = ObjectStore(server.settings(destination="s3://photos"), LIMITS)
        objects.put("s3://photos/k.png", b"photo", "image/png")
    with pytest.raises(SourceUnavailable, match="error sending request"):
        objects.fetch("s3://photos/k.png")
    with pytest.raises(StoreUnavailable, match="error sending request"):
        objects.put("s3://photos/k.png", b"photo", "image/png")
    with s3_server(s3.binary, tmp_path, server.port):
        assert objects.fetch("s3://photos/k.png") == b"photo"
        objects.put("s3://photos/k.png", b"photo", "image/png")


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_server_costs_no_more_than_the_time_given(s3: S3Server, silent: str) -> None:
    objects = ObjectStore(s3.settings(s3_endpoint=silent), LIMITS)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable):
        objects.fetch("s3://photos/photo.jpg")
    assert 0.4 < time.monotonic() - started < 1.5
