"""Download http(s) sources through the guard, within limits of size and time. The only module that imports urllib3."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from time import monotonic
from typing import Any
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, LocationValueError
from urllib3.util import parse_url

import cutstream
from cutstream.clients.objects.guard import DeadlineSocket, Guard
from cutstream.errors import FileTooLarge, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import LimitSettings

_CHUNK_BYTES = 64 * 1024
_HEADERS = {"User-Agent": f"cutstream/{cutstream.__version__}", "Accept": "image/*,*/*;q=0.5"}
_RETRY_STATUSES = {408, 425, 429}


class _TLSSocket(DeadlineSocket, ssl.SSLSocket):
    """A TLS socket that keeps the deadline of the connection below it."""


class _GuardedConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> DeadlineSocket:
        # `Downloader` gives every request a total timeout, so this is always a number.
        return self._guard.connect(self._dns_host, self.port, float(self.timeout))  # type: ignore[arg-type]


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class Downloader:
    """A client for http(s) sources. It keeps connections alive and shares them. Thread-safe.

    It does not use the environment's proxies, because they would resolve names and connect past the guard.
    """

    def __init__(self, guard: Guard, limits: LimitSettings) -> None:
        context = ssl.create_default_context()
        context.sslsocket_class = _TLSSocket
        self._limits = limits
        self._pools = PoolManager(num_pools=32, headers=_HEADERS, maxsize=32, retries=False, ssl_context=context)
        pools: Any = {"http": partial(_Pool, guard=guard), "https": partial(_TLSPool, guard=guard)}
        self._pools.pool_classes_by_scheme = pools

    def fetch(self, url: str) -> bytes:
        """Download a source and follow its redirects. No error message contains the query, which may be secret.

        Raises RefusedAddress, SourceFailed, SourceUnavailable or FileTooLarge.
        """
        expires = monotonic() + self._limits.download_timeout_s
        first = url
        for _ in range(self._limits.max_redirects + 1):
            with map_download_errors(url), self._get(url, expires) as response:
                location = response.get_redirect_location()
                if not location:
                    return self._body(url, response)
            url = _join(url, location)
        raise SourceFailed(f"{without_secrets(first)} redirects more than {self._limits.max_redirects} times")

    def _get(self, url: str, expires: float) -> BaseHTTPResponse:
        if parse_url(url).auth is not None:
            raise RefusedAddress(f"{without_secrets(url)}: an address must not contain a user name or password")
        left_s = expires - monotonic()
        if left_s <= 0:
            raise SourceUnavailable(f"{without_secrets(url)}: timed out")
        return self._pools.urlopen("GET", url, redirect=False, preload_content=False, timeout=Timeout(total=left_s))

    def _body(self, url: str, response: BaseHTTPResponse) -> bytes:
        _check_status(url, response)
        limit = self._limits.max_source_bytes
        declared = response.length_remaining or 0
        if declared > limit:
            raise FileTooLarge(f"{without_secrets(url)} has {declared} bytes; at most {limit} are accepted")
        body = BytesIO()
        for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
            if body.tell() + len(chunk) > limit:
                raise FileTooLarge(f"{without_secrets(url)} has more than {limit} bytes, which is the limit")
            body.write(chunk)
        return body.getvalue()


def host_of(url: str) -> str:
    """Return the host of an address. Raises RefusedAddress."""
    with map_download_errors(url):
        parsed = parse_url(url)
        if not parsed.host:
            raise LocationValueError(url)
        return parsed.host


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment, any of which may be secret."""
    parsed = parse_url(url)
    return parsed._replace(auth=None, query=None, fragment=None).url


@contextmanager
def map_download_errors(url: str) -> Iterator[None]:
    try:
        yield
    except LocationValueError:
        # urllib3's message contains the whole address, with its secrets.
        raise RefusedAddress("the address must have the form http(s)://host[:port]/path, in ASCII") from None
    except (DecodeError, InvalidHeader) as exc:
        raise SourceFailed(f"{without_secrets(url)} sent a response that cannot be read: {_reason(exc)}") from exc
    except HTTPError as exc:
        raise SourceUnavailable(f"{without_secrets(url)}: {_reason(exc)}") from exc


def _reason(exc: HTTPError) -> str:
    """Return the message of the innermost cause. The outer messages name objects of urllib3."""
    cause: BaseException = exc
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause) or type(cause).__name__


def _check_status(url: str, response: BaseHTTPResponse) -> None:
    status = response.status
    if status < 300:
        return
    message = f"{without_secrets(url)} answered {status}"
    if status >= 500 or status in _RETRY_STATUSES:
        raise SourceUnavailable(message, _retry_after_s(response))
    raise SourceFailed(message)


def _retry_after_s(response: BaseHTTPResponse) -> float | None:
    try:
        return Retry().get_retry_after(response)
    except InvalidHeader:
        return None


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as exc:
        raise SourceFailed(f"{without_secrets(url)} redirects to something that is not an address") from exc
