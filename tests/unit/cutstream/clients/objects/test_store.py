"""Which addresses are accepted, where outputs go, and whose fault a refusal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import ConfigurationError, RefusedAddress, StoreUnavailable
from cutstream.settings import LimitSettings, ObjectSettings


def made(**settings: object) -> ObjectStore:
    return ObjectStore(ObjectSettings.model_validate(settings), LimitSettings())


@pytest.mark.parametrize(
    "uri",
    ["/data/photo.jpg", "photo.jpg", "ftp://host/photo.jpg", "data:image/png;base64,", "", "file:/x", " s3://b/k"],
)
def test_other_schemes_are_refused(uri: str) -> None:
    with pytest.raises(RefusedAddress, match=r"file://"):
        made().fetch(uri)


@pytest.mark.parametrize(
    "uri", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "gs://bucket/a//b", "az://c/a/../b"]
)
def test_a_bucket_address_without_a_clear_key_is_refused(uri: str) -> None:
    with pytest.raises(RefusedAddress):
        made().fetch(uri)


@pytest.mark.parametrize("bucket", ["a b", "-x", "b%2e", "user@host", "b:80", "x" * 300])
def test_a_malformed_bucket_never_reaches_the_library(bucket: str) -> None:
    with pytest.raises(RefusedAddress, match="is no bucket's name, which has 1 to 222 letters, digits"):
        made().fetch(f"s3://{bucket}/key")


def test_a_bucket_that_is_not_named_is_missed() -> None:
    with pytest.raises(RefusedAddress, match="names no bucket"):
        made().fetch("s3:///key")


def test_a_listed_bucket_may_be_of_one_store_only() -> None:
    objects = made(allowed_buckets=("gs://photos",))
    assert objects.resolve("gs://photos/a", "k.png") == "gs://photos/a/k.png"
    with pytest.raises(RefusedAddress, match="ALLOWED_BUCKETS"):
        objects.resolve("s3://photos/a", "k.png")
    with pytest.raises(RefusedAddress, match="ALLOWED_BUCKETS"):
        objects.fetch("s3://photos/a")


def test_with_no_bucket_listed_a_request_may_write_to_the_default_one_only() -> None:
    objects = made(destination="s3://ours/out")
    assert objects.resolve("s3://ours/orders", "k.png") == "s3://ours/orders/k.png"
    for other in ("s3://theirs", "gs://ours"):
        with pytest.raises(RefusedAddress, match="ALLOWED_BUCKETS"):
            objects.resolve(other, "k.png")


@pytest.mark.parametrize(
    "destination", ["http://host/out", "https://host/out", "ftp://host/out", "out", "/out", "s3://"]
)
def test_a_request_cannot_write_elsewhere_than_to_stores(destination: str) -> None:
    with pytest.raises(RefusedAddress):
        made().resolve(destination, "k.png")


@pytest.mark.parametrize("key", ["../k.png", "a/../../k.png", "./k.png", "a//k.png", "/k.png", ""])
def test_a_key_cannot_leave_its_destination(key: str) -> None:
    with pytest.raises(RefusedAddress, match="key"):
        made().resolve(None, key)


def test_the_default_folder_is_an_absolute_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(destination="my out").resolve(None, "job/k.png") == f"{tmp_path.as_uri()}/my%20out/job/k.png"


def test_a_default_bucket_is_kept_as_written() -> None:
    assert made(destination="s3://ours/out/").resolve(None, "job/k.png") == "s3://ours/out/job/k.png"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"destination": "https://host/out"}, "DESTINATION"),
        ({"destination": "s3://"}, "DESTINATION"),
        ({"destination": "file://host/out"}, "DESTINATION"),
        ({"destination": "/out" + "/a" * 62}, "DESTINATION.*has 65 parts"),
        ({"destination": "s3://ours" + "/a" * 63}, "DESTINATION.*has 65 parts"),
        ({"destination": "/out/" + "a" * 256}, "DESTINATION.*more than 255 bytes"),
        ({"s3_endpoint": "store:9000"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://user@store"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://store:99999"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://[:::]:9000"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://store/a/../b"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://store/a//b"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "http://store/a?b"}, "S3_ENDPOINT"),
        ({"s3_region": "us east"}, "S3_REGION"),
        ({"s3_region": ""}, "S3_REGION"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], names: str) -> None:
    with pytest.raises(ConfigurationError, match=f"CUTSTREAM_OBJECTS__.*{names}"):
        made(**settings)


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that denies us; told to `os.mkdir` itself, since root is never denied."""

    def denied(folder: str, **_: object) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(files.os, "mkdir", denied)
    return tmp_path


def test_a_default_destination_that_denies_us_is_waited_for(locked: Path) -> None:
    objects = made(destination=str(locked))
    with pytest.raises(StoreUnavailable, match=r"CUTSTREAM_OBJECTS__DESTINATION.*Permission denied"):
        objects.put(objects.resolve(None, "job/k.png"), b"", "image/png")


def test_a_named_destination_that_denies_us_is_the_requests_fault(locked: Path) -> None:
    objects = made(destination=str(locked / "ours"), file_roots=(locked,))
    with pytest.raises(RefusedAddress, match="Permission denied"):
        objects.put(objects.resolve(f"{locked.as_uri()}/theirs", "k.png"), b"", "image/png")


def test_a_destination_below_a_file_is_refused_wherever_it_is(tmp_path: Path) -> None:
    objects = made(destination=str(tmp_path))
    objects.put(objects.resolve(None, "taken"), b"", "image/png")
    with pytest.raises(RefusedAddress):
        objects.put(objects.resolve(f"{tmp_path.as_uri()}/taken", "k.png"), b"", "image/png")


def test_what_lies_below_the_default_destination_can_be_read_back_though_no_request_may(tmp_path: Path) -> None:
    objects = made(destination=str(tmp_path / "out"))
    uri = objects.resolve(None, "backgrounds/beach.png")
    objects.put(uri, b"beach", "image/png")
    assert objects.fetch_own(uri) == b"beach"
    with pytest.raises(RefusedAddress, match="ROOTS"):
        objects.fetch(uri)


def test_reading_back_does_not_reach_beyond_the_default_destination(tmp_path: Path) -> None:
    objects = made(destination=str(tmp_path / "out"), file_roots=(tmp_path / "root",))
    objects.put(objects.resolve(None, "a.png"), b"", "image/png")
    (tmp_path / "root").mkdir()
    for secret in (tmp_path / "secret", tmp_path / "root" / "secret"):
        secret.write_bytes(b"secret")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "root" / "secret")
    out = (tmp_path / "out").as_uri()
    for uri in (f"{out}/../secret", f"{out}/%2e%2e/secret", f"{out}/link", f"{out}side/secret"):
        with pytest.raises(RefusedAddress):
            objects.fetch_own(uri)


def test_elsewhere_reading_back_is_as_for_a_source(tmp_path: Path) -> None:
    objects = made(destination="s3://ours/out", allowed_buckets=("photos",), file_roots=(tmp_path,))
    (tmp_path / "a.png").write_bytes(b"a")
    assert objects.fetch_own((tmp_path / "a.png").as_uri()) == b"a"
    for uri in ("s3://ours/outside/a.png", "s3://ours/out/../a.png", "s3://theirs/a.png", "ftp://host/a.png"):
        with pytest.raises(RefusedAddress):
            objects.fetch_own(uri)
