from __future__ import annotations

from pathlib import Path

import pytest
from obstore import exceptions

from cutstream.clients.objects import buckets
from cutstream.errors import ConfigurationError, CutstreamError


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


def test_only_one_module_talks_to_the_library() -> None:
    package = Path(buckets.__file__).parents[1]
    users = [path.name for path in package.rglob("*.py") if "import obstore" in path.read_text()]
    assert users == ["buckets.py"]
