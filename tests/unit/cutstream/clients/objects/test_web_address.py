"""What an http(s) address means, and that its path and query are sent as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.clients.objects.web_address import parse_web_address
from cutstream.errors import RefusedAddress

# RFC 3986, section 3.3 and 3.4; a percent sign need not introduce an encoding.
URI_CHARACTERS = "abcXYZ019-._~!$&'()*+,;=:@/?%[]"


@given(st.text(URI_CHARACTERS, max_size=60))
def test_no_byte_of_a_path_and_a_query_is_changed(target: str) -> None:
    assert parse_web_address(f"https://photos.example/{target}").target == f"/{target}"


@pytest.mark.parametrize(
    "target",
    ["/a%2fb%2Fc", "/a/../x", "/./a//b/", "//a", "/a?", "/a?b=%2f+c;d", "/a+b;c=1", "/?", "/%", "/%zz", "/a?b?c=/../d"],
)
def test_what_a_library_would_normalise_stays(target: str) -> None:
    assert parse_web_address(f"http://h{target}#fragment").target == target


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("http://h", "/"),
        ("http://h?q", "/?q"),
        ("http://h#f", "/"),
        ("http://h/grün 1.jpg", "/gr%C3%BCn%201.jpg"),
        ("http://h/日本?q=é", "/%E6%97%A5%E6%9C%AC?q=%C3%A9"),
        ("http://h/e\u0301", "/e%CC%81"),  # not composed: another name
        ('http://h/a|b^c`{d}"<e>\\f', "/a%7Cb%5Ec%60%7Bd%7D%22%3Ce%3E%5Cf"),
        ("  http://h/a ", "/a"),
    ],
)
def test_only_what_no_request_line_can_carry_is_encoded(address: str, target: str) -> None:
    assert parse_web_address(address).target == target


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("HTTP://Photos.Example/a", "photos.example", None),
        ("http://photos.example.:8080/", "photos.example.", 8080),
        ("http://photos.example:/", "photos.example", None),
        ("http://under_score.example/", "under_score.example", None),
        ("https://[2001:DB8::1]:8443/a", "[2001:db8::1]", 8443),
        ("http://[::ffff:127.0.0.1]/", "[::ffff:7f00:1]", None),
        ("http://Bücher.example/", "xn--bcher-kva.example", None),
        ("http://straße.example/", "xn--strae-oqa.example", None),
        ("http://bücher。example/", "xn--bcher-kva.example", None),
        ("http://127.0.0.1/", "127.0.0.1", None),
        ("http://127.0.0.1.example/", "127.0.0.1.example", None),
        ("http://h\\@other/", "h", None),  # as browsers read it
    ],
)
def test_the_host_and_the_port(address: str, host: str, port: int | None) -> None:
    parsed = parse_web_address(address)
    assert (parsed.host.replace("::ffff:127.0.0.1", "::ffff:7f00:1"), parsed.port) == (host, port)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http:/h/a",
        "http:h",
        "ftp://h/a",
        "http://",
        "http:///a",
        "http://h:port/",
        "http://h:-1/",
        "http://h:65536/",
        "http://h:0/",
        "http://h:1:2/",
        "http://h o/",
        "http://h%2fo/",
        "http://a..b/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://photos.example.1/",
        "http://.a/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[::g]/",
        "http://ü\u202e.example/",
        "http://user@h/",
        "http://user:s3cr3t@h/",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(RefusedAddress) as caught:
        parse_web_address(address)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\t", "\x1b", "\x7f"])
def test_a_control_character_is_named(character: str) -> None:
    for address in (
        f"http://h/a{character}b",
        f"http://h{character}/",
        f"http://h/?{character}",
        f"http://h/{character}",
    ):
        with pytest.raises(RefusedAddress, match=f"U\\+{ord(character):04X}"):
            parse_web_address(address)


@given(st.text(max_size=40))
def test_whatever_comes_is_one_line_of_ascii_or_refused(text: str) -> None:
    try:
        target = parse_web_address(f"http://h/{text}").target
    except RefusedAddress:
        return
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("http://other/a/../%2f?", "http://other/a/../%2f?"),
        ("HTTPS://Other:1/a", "https://other:1/a"),
        ("//other/a//b", "http://other/a//b"),
        ("/x/../%2e?", "http://h:8080/x/../%2e?"),
        ("d;e?f", "http://h:8080/a//b/d;e?f"),
        ("../d", "http://h:8080/a//d"),
        ("./", "http://h:8080/a//b/"),
        ("../../../../..", "http://h:8080/"),
        ("d//e/", "http://h:8080/a//b/d//e/"),
        ("?new", "http://h:8080/a//b/c?new"),
        ("?", "http://h:8080/a//b/c?"),
        ("#only", "http://h:8080/a//b/c?q"),
        (" /d e ", "http://h:8080/d%20e"),
        ("/\xc3\xa9\xff", "http://h:8080/%C3%A9%FF"),  # http.client reads UTF-8 as Latin-1
    ],
)
def test_where_a_redirect_leads(location: str, address: str) -> None:
    there = parse_web_address("http://h:8080/a//b/c?q").follow(location)
    port = "" if there.port is None else f":{there.port}"
    assert f"{there.scheme}://{there.host}{port}{there.target}" == address


def test_the_query_is_not_shown() -> None:
    address = parse_web_address("https://h:1/a%2fb?X-Amz-Signature=s3cr3t")
    assert str(address) == "https://h:1/a%2fb"
    assert "s3cr3t" not in repr(address)
