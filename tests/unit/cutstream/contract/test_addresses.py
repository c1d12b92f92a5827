from __future__ import annotations

import pytest

from cutstream.contract.addresses import parse_address, show_address
from cutstream.contract.messages import decode_request
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import InvalidOption, RefusedAddress, RefusedDestination

FIELDS = ["image", "background.image", "destination"]
SCHEMES = ["https://shop.example", "file:///photos", "s3://photos", "gs://photos", "az://photos"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("before", "behind"), [("", "\n"), ("", "\r\n"), ("\t ", "\t"), (" \n", "\n\n"), ("", "\f")])
def test_white_space_around_an_address_is_cut_off(scheme: str, before: str, behind: str, field: str) -> None:
    assert parse_address(f"{before}{scheme}/a b.jpg{behind}", field) == f"{scheme}/a b.jpg"


def test_only_a_key_may_end_in_a_space() -> None:
    assert parse_address(" s3://photos/a \n", "image") == "s3://photos/a "
    assert parse_address("https://shop.example/a \n", "image") == "https://shop.example/a"
    assert parse_address("file:///a%20 ", "image") == "file:///a%20"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("character", ["\0", "\r", "\n", "\t", "\x1b", "\x7f"])
def test_a_control_character_within_is_named(scheme: str, character: str, field: str) -> None:
    with pytest.raises(
        (RefusedAddress, RefusedDestination, InvalidOption), match=rf"`{field}`.*U\+{ord(character):04X}"
    ):
        parse_address(f"{scheme}/a{character}b.jpg", field)


@pytest.mark.parametrize("field", FIELDS)
def test_a_blank_address_is_refused(field: str) -> None:
    with pytest.raises((RefusedAddress, RefusedDestination, InvalidOption), match=f"`{field}` is blank"):
        parse_address(" \n", field)


def test_a_request_is_refused_or_mended_before_any_work() -> None:
    text = (
        b'{"image": "s3://a/b\\n", "destination": "s3://c/d\\n", "background": {"image": " beach\\n"}, "outputs": %s}'
    )
    recipe = parse_recipe(decode_request(text % b'["composite"]'))
    assert (recipe.image, recipe.destination) == ("s3://a/b", "s3://c/d")
    assert recipe.composition.background.picture == "beach"
    with pytest.raises(RefusedAddress, match="`image`"):
        parse_recipe(decode_request(b'{"image": "s3://a/\\u0000b"}'))


@pytest.mark.parametrize(
    "address",
    [
        "file:///photos/a%20b.jpg",
        "file:///photos/icon@2x.png",
        "file:///photos/a#1.jpg",
        "s3://photos/shoes/a@2x.jpg",
        "https://shop.example/icon@2x.png",
        "https://shop.example:8443/a.jpg",
        "http://[::1]:80/a.jpg",
        "HTTPS://shop.example",
    ],
)
def test_a_result_shows_an_address_without_secrets_as_it_is(address: str) -> None:
    assert show_address(address) == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://shop.example/a.jpg?X-Amz-Signature=secret", "https://shop.example/a.jpg?…"),
        ("https://shop.example/a.jpg?to=https://b/?secret", "https://shop.example/a.jpg?…"),
        ("https://shop.example/a.jpg#secret", "https://shop.example/a.jpg"),
        ("https://shop.example/a.jpg?", "https://shop.example/a.jpg?…"),
        ("s3://photos/a.jpg?secret", "s3://photos/a.jpg?…"),
        ("file:///photos/a.jpg?secret", "file:///photos/a.jpg?…"),
        ("https://user:secret@shop.example/a.jpg", "https://…@shop.example/a.jpg"),
        ("https://user:sec/ret@shop.example/a.jpg", "https://…@shop.example/a.jpg"),
        ("https://user:sec?ret@shop.example/a.jpg", "https://…@shop.example/a.jpg"),
        ("https://user\\secret@shop.example/a.jpg", "https://…@shop.example/a.jpg"),
        ("s3://key:secret@bucket/a.jpg?secret", "s3://…@bucket/a.jpg?…"),
        ("shop.example/a.jpg?secret secret", "shop.example/a.jpg?…"),
        ("user:secret@shop.example/a.jpg", "…@shop.example/a.jpg"),
    ],
)
def test_a_result_hides_what_may_be_secret_in_an_address(address: str, shown: str) -> None:
    assert show_address(address) == shown
