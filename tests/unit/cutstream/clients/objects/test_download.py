"""Downloads from a real server that misbehaves in every way we know of."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from urllib3 import exceptions

from cutstream.clients.objects import download, guard
from cutstream.clients.objects.download import Downloader
from cutstream.clients.objects.guard import Address, Guard
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


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 300])
def test_which_answers_are_worth_another_attempt(client: Downloader, server: HttpServer, status: HTTPStatus) -> None:
    passing = status >= 500 or status in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    with pytest.raises(SourceUnavailable if passing else SourceFailed, match=f"answered {status.value}"):
        client.fetch(server.url(f"status/{status.value}"))


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)]
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
    assert 0.2 < time.monotonic() - started < 1.5


def test_the_time_of_all_redirects_counts_together(server: HttpServer) -> None:
    client = downloads(download_timeout_s=0.3)
    with pytest.raises(SourceUnavailable, match="timed out"):
        client.fetch(server.url("redirects?to=/never_answers"))


@pytest.mark.parametrize("page", ["hangs_up", "talks_nonsense", "declares/20000"])
def test_a_cut_connection_is_worth_another_attempt(client: Downloader, server: HttpServer, page: str) -> None:
    with pytest.raises(SourceUnavailable):
        client.fetch(server.url(page))


def test_no_more_is_read_than_was_declared(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url("declares/9")) == PHOTO[:9]
    assert client.fetch(server.url("photo")) == PHOTO  # and nothing of it is taken for the next answer


def test_a_length_that_is_no_number_is_no_length(client: Downloader, server: HttpServer) -> None:
    assert client.fetch(server.url("declares/many")) == PHOTO


def test_a_declared_length_is_refused_before_the_body(client: Downloader, server: HttpServer) -> None:
    with pytest.raises(FileTooLarge, match="999999999"):
        client.fetch(server.url("declares/999999999"))


@pytest.mark.parametrize("page", ["is_endless", "gzipped/50000000"])
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


def test_a_false_encoding_fails(client: Downloader, server: HttpServer) -> None:
    with pytest.raises(SourceFailed, match="cannot be read"):
        client.fetch(server.url("says_gzip_but_is_not"))


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

    def __call__(self, host: str, port: int) -> list[Address]:
        answer = self.left[0] if len(self.left) == 1 else self.left.pop(0)
        return [(socket.AF_INET, (answer, port))]


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """127.0.0.1 plays the public internet and this server, on 127.0.0.2, the inner network."""
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.1")
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


_SELF_SIGNED = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "-subj /CN=photos.example -addext subjectAltName=DNS:photos.example"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes a certificate with openssl, which is not installed")
    subprocess.run(
        [openssl, *_SELF_SIGNED.split(), "-out", folder / "cert.pem", "-keyout", folder / "key.pem"],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


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
        assert names == ["photos.example"]
        with pytest.raises(SourceUnavailable, match="timed out"):
            client.fetch(f"{base}/drips_body")
        with pytest.raises(SourceUnavailable, match="certificate"):
            client.fetch(f"https://other.example:{server.port}/photo")


def test_every_error_of_urllib3_has_a_meaning() -> None:
    kinds = [kind for kind in vars(exceptions).values() if getattr(kind, "__module__", "") == exceptions.__name__]
    errors = [kind for kind in kinds if not issubclass(kind, Warning)]
    errors.remove(exceptions.ProxySchemeUnsupported)  # there are no proxies
    for kind in errors:
        meaning = pytest.raises((RefusedAddress, SourceFailed, SourceUnavailable))
        with meaning, download.map_download_errors("http://photos.example"):
            raise type(kind.__name__, (kind,), {"__init__": Exception.__init__, "__str__": lambda _: "no"})()
