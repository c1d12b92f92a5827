"""Downloads from a real server that misbehaves in every way we know of."""

from __future__ import annotations

import gzip
import re
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import exceptions

from cutstream.clients.objects import download, guard
from cutstream.clients.objects.download import Downloader
from cutstream.clients.objects.guard import Guard
from cutstream.clients.objects.names import Address
from cutstream.clients.objects.response_head import MAX_HEAD_BYTES
from cutstream.clients.objects.web_address import parse_web_address
from cutstream.errors import CutstreamError, FileTooLarge, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import LimitSettings
from tests.support.http_server import PHOTO, HttpServer, serving, with_tls

LIMIT = 100_000
SECRET = "X-Signature=s3cr3t"


def downloads(allow_private: bool = True, **limits: float) -> Downloader:
    settings = LimitSettings.model_validate({"max_source_bytes": LIMIT, "download_timeout_s": 5, **limits})
    return Downloader(Guard((), allow_private), settings)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving(HttpServer()) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Downloader:
    """Shared, since reading the certificate authorities takes longer than these tests."""
    return downloads()


def test_a_photo(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url("photo")) == PHOTO


def test_a_connection_is_used_again_and_a_closed_one_replaced(client: Downloader, server: HttpServer) -> None:
    for page in ("photo", "photo", "closes", "photo", "status/404", "photo"):
        if page == "status/404":
            with pytest.raises(SourceFailed):
                client.fetch(server.url(page))
        else:
            assert client.fetch(server.url(page)) == PHOTO


@pytest.mark.parametrize(
    "path", ["a%2fb%2F", "./a/../b", "/a//", "a?", "a?b=%2f+c;d=%zz", "a+b;c", "%C3%A9", "?X-Amz-Signature=aB%2f%3d"]
)
def test_a_path_and_a_query_are_sent_byte_for_byte(client: Downloader, server: HttpServer, path: str) -> None:
    for page in (f"status/404/{path}", f"/status/404/{path}"):
        with pytest.raises(SourceFailed, match="404"):
            client.fetch(server.url(f"{page}#not-sent"))
        assert server.targets[-1] == f"/{page}"
        with pytest.raises(SourceFailed, match="404"):
            client.fetch(server.url(f"redirects_as_written?{server.url(page)}"))
        assert server.targets[-1] == f"/{page}"


def test_spaces_and_letters_beyond_ascii_are_encoded(client: Downloader, server: HttpServer) -> None:
    server.files["grün 1.jpg"] = PHOTO
    assert client.fetch(server.url("files/grün 1.jpg")) == PHOTO
    assert server.targets[-1] == "/files/gr%C3%BCn%201.jpg"


@pytest.mark.parametrize("inserted", ["\r\nX-Injected: 1\r\n", "\n", "\r", " HTTP/1.1\r\n\r\nGET /photo"])
def test_no_request_is_smuggled(client: Downloader, server: HttpServer, inserted: str) -> None:
    asked = len(server.targets)
    with pytest.raises(RefusedAddress, match=r"U\+000[AD]"):
        client.fetch(server.url(f"photo{inserted}"))
    assert len(server.targets) == asked


def test_the_address_never_reaches_a_log(
    client: Downloader, server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    damaged = "says/HTTP/1.1 200 OK%0d%0aContent-Length: 1%0d%0a no header%0d%0a%0d%0ax"
    for page in ("photo", "closes"):
        assert client.fetch(server.url(f"{page}?{SECRET}"))
    with pytest.raises(SourceFailed):
        client.fetch(server.url(f"{damaged}?{SECRET}"))
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 300])
def test_which_answers_are_worth_another_attempt(client: Downloader, server: HttpServer, status: HTTPStatus) -> None:
    passing = status >= 500 or status in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    with pytest.raises(SourceUnavailable if passing else SourceFailed, match=f"answered {status.value}"):
        client.fetch(server.url(f"status/{status.value}"))


def test_an_answer_that_comes_later_is_waited_for(client: Downloader, server: HttpServer) -> None:
    with pytest.raises(SourceUnavailable, match="answered 202"):
        client.fetch(server.url("status/202"))


@pytest.mark.parametrize(("status", "says"), [(204, "no content"), (205, "no content"), (206, "a part of the file")])
def test_an_answer_without_the_whole_file_fails(client: Downloader, server: HttpServer, status: int, says: str) -> None:
    with pytest.raises(SourceFailed, match=f"answered {status}.*{says}"):
        client.fetch(server.url(f"status/{status}"))


@pytest.mark.parametrize("status", [200, 203, 226, 299])
def test_an_answer_with_the_file_is_taken(client: Downloader, server: HttpServer, status: int) -> None:
    assert client.fetch(server.url(f"status/{status}")) == b"no"


@pytest.mark.parametrize("status", [600, 799, 999])
def test_a_status_of_no_class_counts_as_the_servers_fault(client: Downloader, server: HttpServer, status: int) -> None:
    with pytest.raises(SourceUnavailable, match=str(status)):  # RFC 9110, section 15
        client.fetch(server.url(f"status/{status}"))


@pytest.mark.parametrize("status", [102, 103, 199])
def test_early_hints_are_skipped_and_never_taken_for_the_next_answer(
    client: Downloader, server: HttpServer, status: int
) -> None:
    for _ in range(3):
        assert client.fetch(server.url(f"hints_early/{status}")) == PHOTO


def test_a_switch_of_protocols_fails(client: Downloader, server: HttpServer) -> None:
    with pytest.raises(SourceFailed, match="answered 101"):
        client.fetch(server.url("says/HTTP/1.1 101 Switching%0d%0a%0d%0a"))
    assert client.fetch(server.url("photo")) == PHOTO


_OK = "HTTP/1.1 200 OK%0d%0a"


@pytest.mark.parametrize(
    "answer",
    [
        "just the file",  # HTTP/0.9
        "HTTP/2.0 200 OK%0d%0a%0d%0ax",
        "HTTP/1.1 20 OK%0d%0a%0d%0ax",
        _OK[:8],
        f"{_OK}Content-Length: 5%0d%0a%0d%0aabc",
        f"{_OK}Transfer-Encoding: chunked%0d%0a%0d%0a5%0d%0aabc",
        f"{_OK}Transfer-Encoding: chunked%0d%0a%0d%0a3%0d%0aabc%0d%0a",
        f"{_OK}Transfer-Encoding: chunked%0d%0a%0d%0aabc%0d%0axyz",
        f"{_OK}Transfer-Encoding: chunked%0d%0aContent-Length: 3%0d%0a%0d%0a5%0d%0aabc",
    ],
)
def test_an_answer_that_is_cut_or_none_is_worth_another_attempt(
    client: Downloader, server: HttpServer, answer: str
) -> None:
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url(f"says/{answer}"))


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n7;x=y\r\ndefghij\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 30\r\n\r\n" + gzip.compress(b"0123456789"),
    b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n",
]


@given(st.sampled_from(ANSWERS), st.integers(0, 120), st.integers(0, 8), st.binary(max_size=8))
def test_whatever_a_server_says_is_a_file_or_a_named_error(
    client: Downloader, server: HttpServer, answer: bytes, start: int, removed: int, inserted: bytes
) -> None:
    server.files["answer"] = answer[:start] + inserted + answer[start + removed :]
    message = ""
    try:
        client.fetch(server.url(f"says_what_is_filed/answer?{SECRET}"))
    except CutstreamError as exc:
        message = str(exc)
    assert SECRET not in message


def test_chunks_count_where_a_length_is_given_too(client: Downloader, server: HttpServer) -> None:
    both = f"{_OK}Transfer-Encoding: chunked%0d%0aContent-Length: 3%0d%0a%0d%0a5%0d%0aabcde%0d%0a0%0d%0a%0d%0a"
    assert client.fetch(server.url(f"says/{both}")) == b"abcde"


@pytest.mark.parametrize("page", ["has_headers/1000", "has_an_endless_header", "hints_for_ever"])
def test_headers_without_end_are_not_read(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(SourceFailed, match="header"):
        client.fetch(server.url(page))


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("9" * 300, 21_600.0),
        ("9" * 5000, None),
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 99999 00:00:00 GMT", None),
        ("Fri, 31 Dec 999999999999 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -9999", 21_600.0),
        ("Wed, " + "9" * 5000 + " Oct 2030 07:28:00 GMT", None),
        ("Wed, 21 Oct 2030 07:28:00 -" + "1" * 400, None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("2030-01-01T00:00:00Z", None),
        ("-1", None),
        ("+5", None),
        ("5, 6", None),
        ("(" * 1000, None),
        ("\u0663", None),  # a digit, but not of ASCII
        ("\xff\xfe", None),
    ],
)
def test_a_busy_server_says_when_to_come_back(
    client: Downloader, server: HttpServer, retry_after: str, seconds: float | None
) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        client.fetch(server.url(f"busy/{retry_after}"))
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize("page", ["never_answers", "drips_headers", "drips_body", "is_endless"])
def test_a_download_ends_when_its_time_is_up(server: HttpServer, page: str) -> None:
    client = downloads(download_timeout_s=0.3, max_source_bytes=2_000_000_000)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="timed out"):
        client.fetch(server.url(page))
    assert 0.2 < time.monotonic() - started < 5


def test_the_time_of_all_redirects_counts_together(server: HttpServer) -> None:
    client = downloads(download_timeout_s=0.3)
    with pytest.raises(SourceUnavailable, match="timed out"):
        client.fetch(server.url("redirects?to=/never_answers"))


def test_a_connection_that_ends_when_it_is_used_again_is_replaced(server: HttpServer) -> None:
    client = downloads()
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url("hangs_up_at_first/new"))  # as any server that hangs up
    assert client.fetch(server.url("photo")) == PHOTO
    assert client.fetch(server.url("hangs_up_at_first/used")) == PHOTO
    asked = len(server.seen)
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url("hangs_up"))
    assert len(server.seen) == asked + 2


@pytest.mark.parametrize("page", ["hangs_up", "talks_nonsense", "declares/20000"])
def test_a_cut_connection_is_worth_another_attempt(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url(page))


def test_no_more_is_read_than_was_declared(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url("declares/9")) == PHOTO[:9]
    assert client.fetch(server.url("photo")) == PHOTO  # and nothing of it is taken for the next answer


@pytest.mark.parametrize("length", ["many", "-1", "+5", "0x5", "5.0", "1e3", "1_0", "5, 6", "9" * 19, "\xb2", " "])
def test_a_length_that_is_no_number_fails(client: Downloader, server: HttpServer, length: str) -> None:
    with pytest.raises(SourceFailed, match="no length"):
        client.fetch(server.url(f"declares/{length}"))


def test_a_declared_length_is_refused_before_the_body(client: Downloader, server: HttpServer) -> None:
    with pytest.raises(FileTooLarge, match="999999999"):
        client.fetch(server.url("declares/999999999"))


@pytest.mark.parametrize("page", ["is_endless", "gzipped/50000000", "gzipped_nothing/100000"])
def test_no_more_is_kept_than_the_limit(client: Downloader, server: HttpServer, page: str) -> None:
    def fetch() -> None:
        with pytest.raises(FileTooLarge, match=str(LIMIT)):
            client.fetch(server.url(page))

    fetch()  # the server makes its page once
    tracemalloc.start()
    try:
        fetch()
        assert tracemalloc.get_traced_memory()[1] < 10 * LIMIT
    finally:
        tracemalloc.stop()


def test_a_gzipped_photo_is_unpacked(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url(f"gzipped/{LIMIT}")) == bytes(LIMIT)


@pytest.mark.parametrize("page", ["says_gzip_but_is_not", "gzipped_and_cut/50000", "encoded/br", "encoded/zstd"])
def test_what_cannot_be_unpacked_whole_fails(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(SourceFailed, match="cannot be read"):
        client.fetch(server.url(page))


def test_no_encoding_may_be_named_too(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url("encoded/identity")) == PHOTO


def test_redirects_are_followed_up_to_the_limit(server: HttpServer) -> None:
    client = downloads(max_redirects=3)
    assert client.fetch(server.url("redirects_times/3")) == PHOTO
    with pytest.raises(SourceFailed, match="more than 3 times"):
        client.fetch(server.url("redirects_times/4"))
    with pytest.raises(SourceFailed, match="more than 3 times"):
        client.fetch(server.url("redirects_in_a_loop"))


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://host/x", "gopher://127.0.0.1", "http://u:p@127.0.0.1/"])
def test_a_redirect_is_checked_like_the_first_address(client: Downloader, server: HttpServer, to: str) -> None:
    with pytest.raises(RefusedAddress):
        client.fetch(server.url(f"redirects?to={to}"))


@pytest.mark.parametrize("url", ["http://", "http:///photo", "http://[::1/photo", "http://host:port/", "http://ho st/"])
def test_malformed_addresses_are_refused(client: Downloader, url: str) -> None:
    with pytest.raises(RefusedAddress, match=r"http\(s\)://host"):
        client.fetch(url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_nowhere_fails(client: Downloader, server: HttpServer, status: int) -> None:
    with pytest.raises(SourceFailed, match=f"answered {status}"):
        client.fetch(server.url(f"status/{status}"))


@pytest.mark.parametrize("page", ["status/404", "status/500", "hangs_up", "says_gzip_but_is_not", "declares/999999999"])
def test_no_error_tells_the_query(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(CutstreamError) as caught:
        client.fetch(server.url(f"{page}?{SECRET}#{SECRET}"))
    assert SECRET not in str(caught.value)
    assert page in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://user:s3cr3t@127.0.0.1/photo", "http://s3cr3t@127.0.0.1/", f"http://[?{SECRET}"]
)
def test_no_error_tells_a_password(client: Downloader, url: str) -> None:
    with pytest.raises(RefusedAddress) as caught:
        client.fetch(url)
    seen = [caught.value, caught.value.__cause__]
    assert not any("s3cr3t" in str(exc) for exc in seen)


def test_the_environments_proxies_are_not_used(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert downloads().fetch(server.url("photo")) == PHOTO


def test_by_default_this_machine_is_out_of_reach(server: HttpServer) -> None:
    asked = len(server.seen)
    with pytest.raises(RefusedAddress):
        downloads(allow_private=False).fetch(server.url("photo"))
    assert len(server.seen) == asked


class Names:
    """A resolver that gives its answers in turn, the last one from then on."""

    def __init__(self, *answers: str) -> None:
        self.left = list(answers)

    def __call__(self, host: str, port: int, timeout_s: float) -> list[Address]:
        answer = self.left[0] if len(self.left) == 1 else self.left.pop(0)
        return [(socket.AF_INET, (answer, port))]


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """127.0.0.1 plays the public internet and this server, on 127.0.0.2, the inner network."""
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(guard, "is_own", lambda address: False)
    with serving(HttpServer("127.0.0.2")) as running:
        yield running


def test_a_redirect_to_the_inner_network_is_refused(server: HttpServer, inner: HttpServer) -> None:
    with pytest.raises(RefusedAddress, match="public internet"):
        downloads(allow_private=False).fetch(server.url(f"redirects?to={inner.url('photo', '127.0.0.2')}"))
    assert inner.seen == []


def test_a_name_that_changes_its_address_is_caught(server: HttpServer, inner: HttpServer) -> None:
    client = Downloader(Guard((), False, Names("127.0.0.1", "127.0.0.2")), LimitSettings())
    # The first connection goes to the address that was checked, whatever the name says meanwhile.
    assert client.fetch(server.url("closes", "rebinding.example")) == PHOTO
    assert server.hosts[-1] == f"rebinding.example:{server.port}"
    with pytest.raises(RefusedAddress, match=r"rebinding\.example"):
        client.fetch(server.url("photo", "rebinding.example"))
    assert inner.seen == []


def test_tls_is_verified_by_name_and_keeps_the_deadline(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str | None] = []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    limits = LimitSettings(download_timeout_s=0.5)
    with serving(with_tls(HttpServer(), *certificate, names)) as server:
        client = Downloader(Guard((), True, Names("127.0.0.1")), limits)
        base = f"https://photos.example:{server.port}"
        assert client.fetch(f"{base}/photo") == PHOTO
        assert client.fetch(f"https://PHOTOS.example.:{server.port}/photo") == PHOTO
        assert names == ["photos.example"] * 2
        with pytest.raises(SourceUnavailable, match="timed out"):
            client.fetch(f"{base}/drips_body")
        with pytest.raises(SourceUnavailable, match="certificate"):
            client.fetch(f"https://other.example:{server.port}/photo")


def test_tls_that_is_cut_never_ends_a_file(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with serving(with_tls(HttpServer(), *certificate, [])) as server:
        client = Downloader(Guard((), True, Names("127.0.0.1")), LimitSettings())
        base = f"https://photos.example:{server.port}"
        server.files["answer"] = b"HTTP/1.1 200 OK\r\n\r\nabc"
        with pytest.raises(SourceUnavailable, match="TLS failed"):
            client.fetch(f"{base}/says_what_is_filed/answer")
        assert client.fetch(f"{base}/says_and_takes_leave/answer") == b"abc"


@pytest.mark.parametrize("tls", [False, True])
def test_what_follows_an_answer_is_not_the_next_one(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    plain = HttpServer()
    with serving(with_tls(plain, *certificate, []) if tls else plain) as server:
        client = Downloader(Guard((), True, Names("127.0.0.1")), LimitSettings())
        base = f"http{'s' if tls else ''}://photos.example:{server.port}"
        # 12,000 bytes are more than Python's buffer, and fit a record of TLS
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + bytes(12_000)
        server.files["answers"] = first + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        for _ in range(3):
            assert client.fetch(f"{base}/says_and_stays/answers") == bytes(12_000)
            assert client.fetch(f"{base}/photo") == PHOTO


@pytest.mark.parametrize("failing", ["status/404", "status/302", "declares/999999999", "encoded/br"])
def test_what_is_left_of_a_failed_answer_is_not_the_next_one(
    client: Downloader, server: HttpServer, failing: str
) -> None:
    with pytest.raises(CutstreamError):
        client.fetch(server.url(failing))
    assert client.fetch(server.url("photo")) == PHOTO


@pytest.mark.parametrize(
    ("framing", "start", "repeated"),
    [
        ("Transfer-Encoding: chunked", b"-1\r\n", b"x"),
        ("Transfer-Encoding: chunked", b"5\r\nabcde\r\n-ff\r\n", b"x"),
        ("Transfer-Encoding: chunked", b"ffffffffffffffff\r\n", b"x"),
        ("Transfer-Encoding: chunked", b"5\r\nabcde\r\n0\r\n", b"X: y\r\n"),
        ("Transfer-Encoding: chunked", b"", b"5;" + b"x" * 60_000 + b"\r\nabcde\r\n"),
        ("Transfer-Encoding: chunked", b"", b"1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip", b"-1\r\n", b"x"),
        ("Content-Length: -1", b"", b"x"),
        ("Content-Length: 99999", b"", b"x"),
        ("X: y", b"", b"x"),
    ],
)
def test_what_is_received_is_bounded_whatever_is_announced(
    client: Downloader, server: HttpServer, monkeypatch: pytest.MonkeyPatch, framing: str, start: bytes, repeated: bytes
) -> None:
    received = 0

    def recv_into(*args: Any) -> int:
        nonlocal received
        size = original(*args)
        received += size
        return size

    original = guard.DeadlineSocket.recv_into
    monkeypatch.setattr(guard.DeadlineSocket, "recv_into", recv_into)
    body = start + repeated * (4_000_000 // len(repeated))
    server.files["answer"] = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + body
    tracemalloc.start()
    try:
        with suppress(SourceFailed, FileTooLarge):
            client.fetch(server.url("says_what_is_filed/answer"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0 < received <= LIMIT + MAX_HEAD_BYTES
    assert peak < 2_000_000


def raising(module: str) -> Callable[..., None]:
    """Return a function of this module that raises what nobody expects."""
    scope: dict[str, Any] = {"__name__": module}
    exec("def read(*args, **kwargs): raise ValueError('read length must be non-negative')", scope)
    function: Callable[..., None] = scope["read"]
    return function


def test_an_answer_that_confuses_a_library_fails_and_our_own_mistakes_show(
    client: Downloader, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, error in (("urllib3.response", SourceFailed), ("http.client", SourceFailed), ("cutstream", ValueError)):
        monkeypatch.setattr(download.Response, "begin", raising(module))
        with pytest.raises(error):
            client.fetch(server.url("photo"))


@pytest.mark.parametrize("page", ["hangs_up", "talks_nonsense", "says/HTTP/1.1 200 O", "status/500", "declares/20000"])
def test_no_message_shows_python(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        client.fetch(server.url(page))
    assert not re.search(r"[A-Z]\w+Error|[A-Z]\w+\(|\('|b'|Errno|\[|<", str(caught.value))


def test_a_port_where_nobody_listens_is_told_in_words(client: Downloader) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(SourceUnavailable, match="cannot connect: Connection refused"):
            client.fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/x")


def test_a_redirect_to_an_address_without_end_is_refused(client: Downloader, server: HttpServer) -> None:
    server.files["answer"] = b"HTTP/1.1 302 Found\r\nLocation: /" + b"x" * 9000 + b"\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(RefusedAddress, match="8,192") as caught:
        client.fetch(server.url("says_what_is_filed/answer"))
    assert len(str(caught.value)) < 300


def test_every_error_of_urllib3_has_a_meaning() -> None:
    kinds = [kind for kind in vars(exceptions).values() if getattr(kind, "__module__", "") == exceptions.__name__]
    errors = [kind for kind in kinds if not issubclass(kind, Warning)]
    errors.remove(exceptions.ProxySchemeUnsupported)  # there are no proxies
    for kind in errors:
        meaning = pytest.raises((RefusedAddress, SourceFailed, SourceUnavailable))
        with meaning, download.map_download_errors(parse_web_address("http://photos.example")):
            raise type(kind.__name__, (kind,), {"__init__": Exception.__init__, "__str__": lambda _: "no"})()
