"""Where a picture comes from, in one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.delivery.places import domain_of, host_of_place, picture_of, place_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://Shop.example:8443/a/b.jpg", "http://shop.example:8443"),
        ("HTTP://Host:80/", "http://host"),
        ("http://host", "http://host"),
        ("http://host.?a=/b", "http://host"),
        ("http://host\\@other/", "http://host"),
        ("https://me:secret@shop.example/b.jpg", "http://shop.example"),
        ("http://%73hop.example/", "http://shop.example"),
        ("http://0x7f.1:8080/", "http://127.0.0.1:8080"),
        ("http://[0:0::1]:8080/", "http://[::1]:8080"),
        ("https://[::1]:0443/", "http://[::1]"),
        ("https://me:8080@host:80/", "http://host:80"),
        ("s3://photos/a/b.jpg", "s3://photos"),
        ("file:///photos/a.jpg", "file://"),
        ("file://localhost/photos/a.jpg", "file://"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_place_is_the_host_the_bucket_or_all_files(address: str, place: str) -> None:
    assert place_of(address) == place


@pytest.mark.parametrize(
    ("address", "picture"),
    [
        ("HTTP://Host:80/a/../%62.jpg#part", "http://host/b.jpg"),
        ("https://host//b.jpg?id=1", "http://host/b.jpg?id=1"),
        ("https://host?id=1#x", "http://host/?id=1"),
        ("file://localhost/photos/./a%20b.jpg", "file:///photos/a b.jpg"),
        ("file:///photos/a?b#c", "file:///photos/a?b#c"),
        ("s3://Photos/a/b.jpg", "s3://photos/a/b.jpg"),
        ("beach", "beach"),
    ],
)
def test_a_picture_has_one_spelling(address: str, picture: str) -> None:
    assert picture_of(address) == picture


@given(st.from_regex(r"(https?|file|s3)://.*", fullmatch=True) | st.text())
def test_every_address_has_a_place_and_a_picture(address: str) -> None:
    assert picture_of(address).startswith(place_of(address))


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://img1.cdn.example/a", "cdn.example"),
        ("https://CDN.example.:8443/a", "cdn.example"),
        ("http://shop/a", "shop"),
        ("http://shop:81/a", "shop"),
        ("http://93.184.216.34:81/a", "IP addresses"),
        ("http://[2001:db8::1]/a", "IP addresses"),
        ("http://[2001:db8::1]:81/a", "IP addresses"),
        ("s3://photos.shop.example/a", "shop.example"),
    ],
)
def test_the_domain_of_a_place(address: str, domain: str) -> None:
    assert domain_of(place_of(address)) == domain


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://a.example:8080/x", "http://a.example"),
        ("https://a.example/x", "http://a.example"),
        ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]"),
        ("http://[2001:db8::81]/x", "http://[2001:db8::81]"),
        ("s3://bucket/x", "s3://bucket"),
    ],
)
def test_a_host_is_its_places_without_their_ports(address: str, host: str) -> None:
    assert host_of_place(place_of(address)) == host
