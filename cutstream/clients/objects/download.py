"""Download http(s) sources through the guard, within limits of size and time."""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from time import monotonic
from traceback import walk_tb
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, ProtocolError

import cutstream
from cutstream.clients.objects.guard import DeadlineSocket, Guard, reason_of
from cutstream.clients.objects.response import AnswerTooLarge, Response
from cutstream.clients.objects.response_head import CutAnswer, MalformedAnswer
from cutstream.clients.objects.unpacking import Undecodable, unpacked
from cutstream.clients.objects.web_address import WebAddress, parse_web_address
from cutstream.errors import FileTooLarge, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import LimitSettings

_CHUNK_BYTES = 64 * 1024
_HEADERS = {
    "User-Agent": f"cutstream/{cutstream.__version__}",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",  # pictures are compressed already
}
_TARGET = ":target"
_NOT_YET = {202, 408, 423, 425, 429}
_EMPTY = {204, 205}
_PARTIAL = 206
_MAX_RETRY_AFTER_S = 6 * 3600.0
_MAX_LOCATION = 8192  # in characters; addresses come back in messages, so they are not much longer than sensible
_LIBRARIES = {"email", "encodings", "http", "socket", "ssl", "urllib3"}


class _TLSSocket(DeadlineSocket, ssl.SSLSocket):
    """A TLS socket that keeps the deadline of the connection below it."""


class _StaleConnection(CutAnswer):
    """The server ended a connection at the moment that it was used again."""


class _GuardedConnection(HTTPConnection):
    """Connects through the guard, and sends the target that the header `_TARGET` holds.

    urllib3 itself is given "/" only, because it would normalise the target, and write it into its log.
    """

    def __init__(self, *args: Any, guard: Guard, limit: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.response_class = partial(Response, limit=limit)  # type: ignore[assignment]
        self._guard = guard
        self._target = "/"
        self._has_answered = False

    def _new_conn(self) -> DeadlineSocket:
        self._has_answered = False
        # `Downloader` gives every request a total timeout, so this is always a number.
        return self._guard.connect(self._dns_host, self.port, float(self.timeout))  # type: ignore[arg-type]

    def request(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        sent = dict(headers or {})
        self._target = sent.pop(_TARGET)
        super().request(method, url, body, sent, **kwargs)

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, self._target, *args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        try:
            response = super().getresponse()
        except (ConnectionError, ssl.SSLEOFError) as exc:
            if self._has_answered:
                raise _StaleConnection(reason_of(exc)) from None
            raise
        self._has_answered = True
        return response


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # Without its closing message a connection may have been cut, and with it an answer that tells no length.
        self.sock.suppress_ragged_eofs = False  # type: ignore[union-attr]


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
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._limits = limits
        self._pools = PoolManager(num_pools=32, maxsize=32, ssl_context=context)
        ours: dict[str, Any] = {"guard": guard, "limit": limits.max_source_bytes}
        pools: Any = {"http": partial(_Pool, **ours), "https": partial(_TLSPool, **ours)}
        self._pools.pool_classes_by_scheme = pools

    def fetch(self, url: str, limit_s: float | None = None) -> bytes:
        """Download a source and follow its redirects. No error message contains the query, which may be secret.

        What is sent is what `url` says, byte for byte. Raises RefusedAddress, SourceFailed, SourceUnavailable or
        FileTooLarge.
        """
        expires = monotonic() + min(limit_s or math.inf, self._limits.download_timeout_s)
        address = first = parse_web_address(url)
        for _ in range(self._limits.max_redirects + 1):
            with map_download_errors(address), self._get(address, expires) as response:
                location = response.get_redirect_location()
                if not location:
                    return self._body(address, response)
            address = _follow(address, location)
        raise SourceFailed(f"{first} redirects more than {self._limits.max_redirects} times")

    def _get(self, address: WebAddress, expires: float) -> BaseHTTPResponse:
        try:
            return self._ask(address, expires)
        except ProtocolError as exc:
            if not isinstance(_innermost(exc), _StaleConnection):
                raise
        return self._ask(address, expires)

    def _ask(self, address: WebAddress, expires: float) -> BaseHTTPResponse:
        left_s = expires - monotonic()
        if left_s <= 0:
            raise SourceUnavailable(f"{address}: timed out")
        pool = self._pools.connection_from_host(address.host, address.port, address.scheme)
        headers = {**_HEADERS, _TARGET: address.target}
        return pool.urlopen(
            "GET",
            "/",
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            timeout=Timeout(total=left_s),
        )

    def _body(self, address: WebAddress, response: BaseHTTPResponse) -> bytes:
        _check_status(address, response)
        limit = self._limits.max_source_bytes
        declared = response.length_remaining or 0
        if declared > limit:
            raise FileTooLarge(f"{address} has {declared} bytes; at most {limit} are accepted")
        body = BytesIO()
        sent = _limited(response.stream(_CHUNK_BYTES, decode_content=False), address, limit)
        for chunk in _limited(unpacked(sent, response.headers.get("content-encoding", "")), address, limit):
            body.write(chunk)
        return body.getvalue()


def _limited(chunks: Iterable[bytes], address: WebAddress, limit: int) -> Iterator[bytes]:
    """Yield the chunks while they have at most `limit` bytes together. Raises FileTooLarge."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise FileTooLarge(f"{address} has more than {limit} bytes, which is the limit")
        yield chunk


@contextmanager
def map_download_errors(address: WebAddress) -> Iterator[None]:
    """Map what the libraries raise to errors. What our own code raises passes: it is no fault of the source."""
    try:
        yield
    except Exception as exc:
        cause = _innermost(exc)
        if isinstance(cause, AnswerTooLarge):
            raise FileTooLarge(f"{address} sends {cause}") from exc
        if isinstance(exc, (DecodeError, InvalidHeader, Undecodable)) or isinstance(cause, MalformedAnswer):
            raise SourceFailed(f"{address} sent a response that cannot be read: {reason_of(cause)}") from exc
        if isinstance(exc, HTTPError):  # malformed addresses (LocationValueError) are refused before urllib3 sees them
            raise SourceUnavailable(f"{address}: {reason_of(cause)}") from exc
        if _is_raised_by_a_library(exc):
            raise SourceFailed(f"{address} sent a response that cannot be read ({type(exc).__name__})") from exc
        raise


def _innermost(exc: BaseException) -> BaseException:
    """Return the first cause. urllib3 names it among the arguments, in messages of Python's objects and of its own."""
    named = next((argument for argument in exc.args if isinstance(argument, BaseException)), None)
    cause = exc.__cause__ or named
    return exc if cause is None else _innermost(cause)


def _is_raised_by_a_library(exc: Exception) -> bool:
    """Return whether an answer has led a library where it did not expect to be."""
    frames = [frame for frame, _ in walk_tb(exc.__traceback__)]
    module = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    return not isinstance(exc, MemoryError) and module.partition(".")[0] in _LIBRARIES


def _check_status(address: WebAddress, response: BaseHTTPResponse) -> None:
    status = response.status
    message = f"{address} answered {status}"
    if status >= 500 or status in _NOT_YET:
        raise SourceUnavailable(message, _retry_after_s(response), answered=True)
    if status in _EMPTY:
        raise SourceFailed(f"{message}, which means that there is no content")
    if status == _PARTIAL:
        raise SourceFailed(f"{message}: a part of the file, although the whole was asked for")
    if not 200 <= status < 300:
        raise SourceFailed(message)


def _retry_after_s(response: BaseHTTPResponse) -> float | None:
    try:
        seconds = Retry().get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError, LookupError, TypeError):  # also a date that no calendar has
        return None
    return None if seconds is None else min(seconds, _MAX_RETRY_AFTER_S)


def _follow(address: WebAddress, location: str) -> WebAddress:
    if len(location) > _MAX_LOCATION:
        raise RefusedAddress(f"{address} redirects to an address of more than {_MAX_LOCATION:,} characters")
    try:
        return address.follow(location)
    except RefusedAddress as exc:
        raise RefusedAddress(f"{address} redirects to a place that is refused: {exc}") from exc
