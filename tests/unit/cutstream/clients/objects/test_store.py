"""Which addresses are accepted, where outputs go, and whose fault a refusal is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.compositing.specs import OutputName
from cutstream.errors import (
    AddressNotAllowed,
    ConfigurationError,
    DestinationUnavailable,
    OutputRefused,
    RefusedAddress,
    StoreUnavailable,
)
from cutstream.settings import LimitSettings, ObjectSettings
from tests.support.http_server import HttpServer, serving
from tests.support.ports import free_ports, never_answering


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
    with pytest.raises(RefusedAddress, match="is no bucket: a name has 1 to 222 letters, digits"):
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

    def denied_file(name: str, *_: object) -> None:
        denied(name)

    monkeypatch.setattr(files.os, "mkdir", denied)
    monkeypatch.setattr(files, "_write_synced", denied_file)
    return tmp_path


def test_a_default_destination_that_denies_us_is_waited_for(locked: Path) -> None:
    objects = made(destination=str(locked))
    with pytest.raises(StoreUnavailable, match=r"CUTSTREAM_OBJECTS__DESTINATION.*Permission denied"):
        objects.put(objects.resolve(None, "job/k.png"), b"", "image/png")


def test_a_named_destination_that_denies_us_is_the_requests_fault(locked: Path) -> None:
    objects = made(destination=str(locked / "ours"), file_roots=(locked,))
    with pytest.raises(RefusedAddress, match="Permission denied"):
        objects.put(objects.resolve(f"{locked.as_uri()}/theirs", "k.png"), b"", "image/png", named=True)


def test_a_destination_below_a_file_is_refused_wherever_it_is(tmp_path: Path) -> None:
    objects = made(destination=str(tmp_path))
    objects.put(objects.resolve(None, "taken"), b"", "image/png")
    with pytest.raises(RefusedAddress):
        objects.put(objects.resolve(f"{tmp_path.as_uri()}/taken", "k.png"), b"", "image/png", named=True)
    with pytest.raises(RefusedAddress):
        objects.check_destination(f"{tmp_path.as_uri()}/taken")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each attempt ask anew whether the place works."""
    monkeypatch.setattr("cutstream.clients.objects.refusals._PROBE_INTERVAL_S", 0.0)


def ending(objects: ObjectStore, key: str, attempts: int = 5) -> str:
    """Put an object into the default destination, as often as a worker does in some seconds. Return how that ends."""
    for _ in range(attempts):
        try:
            objects.check_destination(None, key.partition("/")[0])
            objects.put(objects.resolve(None, key), b"x", "image/png")
        except OutputRefused as exc:
            return str(exc)
        except StoreUnavailable:
            continue
        return "written"
    return "waits"


def _take_by_a_file(folder: Path) -> None:
    folder.write_bytes(b"")


def _take_by_a_link_to_itself(folder: Path) -> None:
    folder.symlink_to(folder)


def _take_by_a_link_elsewhere(folder: Path) -> None:
    folder.symlink_to("/etc")


def _take_the_object_by_a_folder(folder: Path) -> None:
    (folder / "k.png").mkdir(parents=True)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "take",
    [_take_by_a_file, _take_by_a_link_to_itself, _take_by_a_link_elsewhere, _take_the_object_by_a_folder],
)
def test_one_name_that_is_taken_is_no_outage_of_the_default_folder(
    tmp_path: Path, take: Callable[[Path], None]
) -> None:
    objects = made(destination=str(tmp_path / "out"))
    assert ending(objects, "good/k.png") == "written"
    take(tmp_path / "out" / "taken")
    assert "takes other objects, but not this one" in ending(objects, "taken/k.png")
    assert ending(objects, "good/k.png") == "written"


@pytest.mark.usefixtures("hurried")
def test_a_default_folder_that_is_none_any_more_is_waited_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    objects = made(destination=str(out))
    assert ending(objects, "good/k.png") == "written"
    out.rename(tmp_path / "before")
    out.write_bytes(b"")
    assert ending(objects, "good/k.png", 50) == "waits"
    out.unlink()
    out.symlink_to("/etc")
    assert ending(objects, "good/k.png", 50) == "waits"
    out.unlink()
    (tmp_path / "before").rename(out)
    assert ending(objects, "good/k.png") == "written"


@pytest.mark.usefixtures("hurried")
def test_a_default_folder_that_denies_us_is_waited_for_however_often_it_is_tried(locked: Path) -> None:
    assert ending(made(destination=str(locked)), "job/k.png", 50) == "waits"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 412, 413])
def test_an_object_that_the_default_bucket_refuses_is_told_from_a_bucket_that_refuses_all(
    server: HttpServer, status: int
) -> None:
    """The server answers for each path by itself: `out` is taken everywhere but below `taken`."""
    server.statuses = {"/status/200/ours/out/taken/k.png": status}
    objects = at(server.url("status/200"))
    assert str(status) in ending(objects, "taken/k.png")
    assert ending(objects, "good/k.png") == "written"
    assert ending(at(server.url(f"status/{status}")), "good/k.png", 50) == "waits"


@pytest.mark.parametrize("destination", ["s3://ours/out", "s3://ours/out/a"])
def test_no_request_may_be_in_the_way_of_the_probe(destination: str) -> None:
    with pytest.raises(RefusedAddress, match="cutstream~probe is not accepted"):
        made(destination="s3://ours/out").resolve(f"{destination}/cutstream~probe", "id/k.png")


def test_no_request_may_be_in_the_way_of_the_probe_by_way_of_a_link(tmp_path: Path) -> None:
    objects = made(destination=str(tmp_path / "out"), file_roots=(tmp_path,))
    (tmp_path / "link").symlink_to(tmp_path / "out" / "cutstream~probe")
    for path in ("out/cutstream~probe", "out/cutstream%7Eprobe/x", "link", "link/x"):
        with pytest.raises(RefusedAddress, match="cutstream~probe is not accepted"):
            objects.check_destination(f"{tmp_path.as_uri()}/{path}")


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


KEYS = {"s3_access_key_id": "key", "s3_secret_access_key": SecretStr("secret")}


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving(HttpServer()) as server:
        yield server


def at(endpoint: str) -> ObjectStore:
    """Return a store whose default destination and another bucket are at an endpoint."""
    return made(s3_endpoint=endpoint, destination="s3://ours/out", allowed_buckets=("theirs",), **KEYS)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 409, 411, 412, 413])
def test_what_a_store_never_takes_fails_the_request_that_names_it_and_is_waited_for_by_default(
    server: HttpServer, status: int
) -> None:
    objects = at(server.url(f"status/{status}"))
    why = "incorrectly configured region" if status < 400 else str(status)
    with pytest.raises(RefusedAddress, match=why):
        objects.put("s3://theirs/out/k.png", b"x", "image/png", named=True)
    with pytest.raises(StoreUnavailable, match=why):
        objects.put("s3://ours/out/k.png", b"x", "image/png")


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 503, 507])
def test_a_store_that_is_busy_is_away_for_the_request_that_names_it(server: HttpServer, status: int) -> None:
    objects = at(server.url(f"status/{status}"))
    with pytest.raises(DestinationUnavailable, match=str(status)):
        objects.put("s3://theirs/out/k.png", b"x", "image/png", named=True)
    with pytest.raises(StoreUnavailable, match=str(status)):
        objects.put("s3://ours/out/k.png", b"x", "image/png")


def test_a_store_that_is_gone_is_away_and_may_be_our_own() -> None:
    objects = at(f"http://127.0.0.1:{free_ports(1)[0]}")
    for bucket, is_ours in (("theirs", False), ("ours", True)):
        with pytest.raises(DestinationUnavailable) as raised:
            objects.put(f"s3://{bucket}/elsewhere/k.png", b"x", "image/png", named=True)
        assert raised.value.is_ours is is_ours
    with pytest.raises(StoreUnavailable):
        objects.put("s3://ours/out/k.png", b"x", "image/png")


def test_a_full_disk_is_away_for_the_request_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> None:
        raise StoreUnavailable("No space left on device")

    monkeypatch.setattr(files, "write", full)
    objects = made(destination=str(tmp_path / "ours"), file_roots=(tmp_path,))
    for folder, is_ours in (("theirs", False), ("ours/out", True)):
        with pytest.raises(DestinationUnavailable, match="No space") as raised:
            objects.put(f"{tmp_path.as_uri()}/{folder}/k.png", b"x", "image/png", named=True)
        assert raised.value.is_ours is is_ours


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_destination_that_nothing_is_configured_for_is_refused_before_any_work(scheme: str) -> None:
    objects = made(allowed_buckets=("theirs",))
    with pytest.raises(AddressNotAllowed, match="CUTSTREAM_OBJECTS__MACHINE_CREDENTIALS=true"):
        objects.check_destination(f"{scheme}://theirs/out")


def test_an_account_that_is_missing_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    objects = made(allowed_buckets=("theirs",), machine_credentials=True)
    with pytest.raises(AddressNotAllowed, match=r"Account must be specified.*AZURE_STORAGE_ACCOUNT_NAME"):
        objects.check_destination("az://theirs/out")
    with pytest.raises(AddressNotAllowed, match=r"AZURE_STORAGE_ACCOUNT_NAME"):
        objects.check_source("az://theirs/a.jpg")


def test_a_store_of_ones_own_may_take_objects_without_credentials(server: HttpServer) -> None:
    made(allowed_buckets=("theirs",), s3_endpoint=server.url("")).check_destination("s3://theirs/out")


def test_the_key_counts_with_the_longest_name_of_an_output(server: HttpServer) -> None:
    objects = at(server.url("status/200"))
    longest = "/".join("a" * 200 for _ in range(4))
    names = (f"id/{output}-0123456789ab.webp" for output in get_args(OutputName))
    room = 1024 - len(longest) - 2 - max(map(len, names))
    objects.check_destination(f"s3://theirs/{longest}/{'b' * room}")
    with pytest.raises(RefusedAddress, match="more than 1,024 bytes"):
        objects.check_destination(f"s3://theirs/{longest}/{'b' * (room + 1)}")


def test_writes_to_one_bucket_do_not_lengthen_those_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutstream.clients.objects.store.LIMITS_S", (0.2, 0.4))
    monkeypatch.setattr("cutstream.clients.objects.write_limit.LIMITS_S", (0.2, 0.4))
    with never_answering() as port:
        objects = at(f"http://127.0.0.1:{port}")
        with pytest.raises(DestinationUnavailable):
            objects.put("s3://theirs/k.png", b"x", "image/png", named=True)
    assert objects._write_limits["s3", "theirs"].level == 1
    assert objects._write_limits["s3", "ours"].level == 0


def test_folders_and_buckets_are_places_of_their_own(tmp_path: Path) -> None:
    objects = made(
        destination=str(tmp_path / "out"), file_roots=(tmp_path / "a", tmp_path / "b"), allowed_buckets=("theirs",)
    )
    places = [
        objects.place_of_destination(address)
        for address in (
            f"{tmp_path.as_uri()}/a/x",
            f"{tmp_path.as_uri()}/a/y/z/",
            f"{tmp_path.as_uri()}/b",
            f"{tmp_path.as_uri()}/out/x",
            "s3://theirs",
            "s3://theirs/a/",
            "gs://theirs/a",
        )
    ]
    assert places[0] == places[1]
    assert places[4] == places[5]
    assert len(set(places)) == 5
