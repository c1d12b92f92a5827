from __future__ import annotations

from pathlib import Path

import pytest
from obstore import exceptions
from pydantic import SecretStr

from cutstream.clients.objects import buckets
from cutstream.errors import ConfigurationError, CutstreamError, SourceFailed
from cutstream.settings import ObjectSettings
from tests.support.http_server import HttpServer, serving


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


def test_only_one_module_talks_to_the_library() -> None:
    package = Path(buckets.__file__).parents[1]
    users = [path.name for path in package.rglob("*.py") if "import obstore" in path.read_text()]
    assert users == ["buckets.py"]
