from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from obstore import exceptions
from pydantic import SecretStr

from cutstream.clients.objects import buckets
from cutstream.clients.objects.buckets import Buckets
from cutstream.errors import ConfigurationError, CutstreamError, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import ObjectSettings
from tests.support.http_server import HttpServer, serving, with_tls


def test_every_error_of_obstore_has_a_meaning() -> None:
    kinds = {kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds
    assert kinds <= buckets.ERROR_MAP.keys()


@pytest.mark.parametrize("kind", buckets.ERROR_MAP)
@pytest.mark.parametrize("role", [0, 1])
def test_an_error_becomes_ours_and_shows_no_signature(kind: type[Exception], role: int) -> None:
    text = "Server said no to\nhttp://store/k?sig=s3cr3t in 3ms\n\nDebug source:\nmuch more"
    with pytest.raises(buckets.ERROR_MAP[kind][role]) as caught, buckets.map_store_errors("s3://bucket/k", role):
        raise kind(text)
    assert str(caught.value) == "s3://bucket/k: Server said no to http://store/k?… in 3ms"
    assert caught.value.__cause__ is not None


def test_a_failed_store_never_poisons_and_a_missing_object_is_never_retried() -> None:
    of_source = {kind: roles[0] for kind, roles in buckets.ERROR_MAP.items()}
    of_destination = {kind: roles[1] for kind, roles in buckets.ERROR_MAP.items()}
    assert of_source[FileNotFoundError].code == "failed_image_download"
    assert of_destination[exceptions.GenericError].code == "store_unavailable"
    assert all(issubclass(kind, (CutstreamError, PermissionError)) for kind in of_destination.values())
    assert of_source[exceptions.UnknownConfigurationKeyError] is ConfigurationError


@pytest.mark.parametrize(
    "endpoint",
    ["http://my_minio:9000", "http://store:9000/", "https://[::1]:9000", "https://x.supabase.co/storage/v1/s3/"],
)
def test_endpoints_as_stores_have_them_are_taken(endpoint: str) -> None:
    buckets.Buckets(ObjectSettings(s3_endpoint=endpoint), timeout_s=1)


def test_a_bucket_is_below_the_path_of_its_endpoint() -> None:
    with serving(HttpServer()) as server:
        below = ObjectSettings(
            s3_endpoint=server.url("status/404"), s3_access_key_id="key", s3_secret_access_key=SecretStr("secret")
        )
        with pytest.raises(SourceFailed):
            buckets.Buckets(below, timeout_s=5).get("s3://photos/a.png", 10)
    assert server.seen == ["/status/404/photos/a.png"]


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Buckets, HttpServer]]:
    with serving(HttpServer()) as server:
        endpoint = f"http://127.0.0.1:{server.port}/status/404"
        settings = ObjectSettings(s3_endpoint=endpoint, s3_access_key_id="key", s3_secret_access_key=SecretStr("key"))
        yield Buckets(settings, 5), server


@pytest.mark.parametrize(
    "key",
    [
        "a b ",
        " a",
        "a+b",
        "a%2fb",
        "a%2Fb",
        "%2e%2e/x",
        "a?versionId=3",
        "a#b",
        "a\\b",
        "a;b=c&d,e$f@g:h",
        "é",
        "e\u0301",
        "~a*b'(c)!",
        "日本/😀",
        "...",
        'a|b^c`{d}"<>',
        "[a]",
        "\x85a",
        "x" * 1024,
    ],
)
def test_a_key_is_asked_for_as_it_is_written(store: tuple[Buckets, HttpServer], key: str) -> None:
    client, server = store
    with pytest.raises(SourceFailed):
        client.get(f"s3://photos/{key}", 1)
    assert unquote(server.targets[-1]) == f"/status/404/photos/{key}"


@pytest.mark.parametrize(
    "key", ["", "a/", "/a", "a//b", "a/../b", "./a", "a\nb", "a\0", "a\x7f", "x" * 1025, "é" * 513]
)
def test_a_key_that_cannot_be_asked_for_is_refused(store: tuple[Buckets, HttpServer], key: str) -> None:
    client, server = store
    asked = len(server.targets)
    with pytest.raises(RefusedAddress, match=r"part in its key|control character U\+00|more than 1,024 bytes"):
        client.get(f"s3://photos/{key}", 1)
    assert len(server.targets) == asked


@pytest.mark.parametrize("uri", ["s3:///k?{}", "s3://photos//k?{}", "s3://photos/k?{}", "s3://photos/k?a&{}"])
def test_a_signature_left_behind_a_key_is_not_shown(store: tuple[Buckets, HttpServer], uri: str) -> None:
    with pytest.raises(CutstreamError) as caught:
        store[0].get(uri.format("X-Amz-Signature=s3cr3t"), 1)
    assert "s3cr3t" not in str(caught.value)


def test_only_one_module_talks_to_the_library() -> None:
    package = Path(buckets.__file__).parents[1]
    users = [path.name for path in package.rglob("*.py") if "import obstore" in path.read_text()]
    assert users == ["buckets.py"]


@pytest.fixture
def metadata_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """Stand in for the metadata services of AWS and Google, which hand out the credentials of a machine's role."""
    with serving(HttpServer()) as server:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", server.url("").rstrip("/"))
        monkeypatch.setenv("METADATA_HOST", f"127.0.0.1:{server.port}")
        yield server


@pytest.mark.parametrize("machine_credentials", [False, True])
def test_the_metadata_service_is_asked_only_if_the_settings_allow_it(
    metadata_service: HttpServer, machine_credentials: bool
) -> None:
    with serving(HttpServer()) as server:
        settings = ObjectSettings(s3_endpoint=server.url("status/404"), machine_credentials=machine_credentials)
        with pytest.raises((SourceFailed, SourceUnavailable)):
            buckets.Buckets(settings, 5).get("s3://photos/a.png", 10)
    assert bool(metadata_service.seen) is machine_credentials
    assert bool(server.seen) is not machine_credentials  # there are no credentials to sign with


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_nothing_is_signed_for_a_stranger(
    metadata_service: HttpServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    with pytest.raises((SourceFailed, SourceUnavailable)) as caught:
        buckets.Buckets(ObjectSettings(), 2).get(f"{scheme}://photos/a.png", 10)
    assert "token" not in str(caught.value)
    assert metadata_service.seen == []


def test_a_redirect_gets_no_credentials_elsewhere_and_no_object_follows_one() -> None:
    with serving(HttpServer()) as elsewhere, serving(HttpServer()) as server:
        server.moved_to = elsewhere.url("status/404", host="localhost")
        settings = ObjectSettings(
            s3_endpoint=server.url("moved"), s3_access_key_id="key", s3_secret_access_key=SecretStr("secret")
        )
        client = buckets.Buckets(settings, 5)
        with pytest.raises(SourceFailed):
            client.get("s3://photos/a.png", 10)
        assert elsewhere.authorizations == [None]
        with pytest.raises(PermissionError):
            client.put("s3://photos/a.png", b"x", "image/png")
        assert len(elsewhere.seen) == 1
    assert None not in server.authorizations


def test_a_redirect_leads_from_https_to_no_plain_http(certificate: tuple[Path, Path]) -> None:
    """As services inside of a network speak, those that hand out credentials above all."""
    with serving(HttpServer()) as inside, serving(with_tls(HttpServer(), *certificate, [])) as server:
        server.moved_to = inside.url("photo")
        settings = ObjectSettings(s3_endpoint=server.url("moved", host="localhost").replace("http", "https", 1))
        client = buckets.Buckets(settings, 5)
        client._client["allow_invalid_certificates"] = True
        with pytest.raises(SourceUnavailable):
            client.get("s3://photos/a.png", 10_000_000)
    assert server.seen == ["/moved/photos/a.png"]
    assert inside.seen == []
