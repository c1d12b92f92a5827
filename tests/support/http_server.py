"""A real HTTP server on loopback. Its pages are named after the way they misbehave."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PHOTO = bytes(range(256)) * 40


class HttpServer(ThreadingHTTPServer):
    """Serves `files` below /files/, and lists the path (`seen`) and Host header (`hosts`) of each request.

    `targets` are the paths and queries exactly as they came; `seen` has one slash where several lead a path.

    `last_s` holds the time at which each path was asked for last, in seconds of the wall clock.
    """

    request_queue_size = 64

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Pages)
        self.files: dict[str, bytes] = {}
        self.seen: list[str] = []
        self.targets: list[str] = []
        self.hosts: list[str | None] = []
        self.last_s: dict[str, float] = {}
        self.authorizations: list[str | None] = []
        self.moved_to = ""
        self.statuses: dict[str, int] = {}  # path -> status, before what its page says
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, page: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{page}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up, which many tests do on purpose."""


@contextmanager
def serving(server: HttpServer) -> Iterator[HttpServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def with_tls(server: HttpServer, certificate: Path, key: Path, names: list[str | None]) -> HttpServer:
    """Make the server use TLS; `names` receives the server names that clients send (SNI)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


@cache
def _gzipped_zeros(size: int) -> bytes:
    return gzip.compress(bytes(size))


@cache
def _empty_members(number: int) -> bytes:
    return gzip.compress(b"") * number


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.server.targets.append(self.requestline.split(" ")[1])
        self.server.last_s[self.path] = time.time()
        self.server.hosts.append(self.headers.get("Host"))
        self.server.authorizations.append(self.headers.get("Authorization"))
        page, _, rest = urlsplit(self.path).path.strip("/").partition("/")
        answer: Callable[[str], None] = getattr(self, f"page_{page}")
        answer(unquote(rest))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None: ...

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def page_photo(self, _: str) -> None:
        self._send(PHOTO)

    def page_files(self, name: str) -> None:
        body = self.server.files.get(name)
        self._send(b"", 404) if body is None else self._send(body)

    def page_status(self, status: str) -> None:
        self._send(b"no", self.server.statuses.get(self.path, int(status.partition("/")[0])), ETag='"no"')

    def page_late(self, answer: str) -> None:
        """Answer with a status after some seconds: /late/404/9."""
        status, seconds = answer.split("/")[:2]
        self.server.stopping.wait(float(seconds))
        self._send(b"", int(status))

    def page_busy(self, retry_after: str) -> None:
        self._send(b"", 429, Retry_After=retry_after)

    def page_closes(self, _: str) -> None:
        self._send(PHOTO, Connection="close")
        self.close_connection = True

    def page_redirects(self, _: str) -> None:
        (location,) = parse_qs(urlsplit(self.path).query)["to"]
        self._send(b"", 302, Location=location)

    def page_redirects_as_written(self, _: str) -> None:
        """Redirect to what is behind the first question mark, character by character."""
        self._send(b"", 302, Location=self.path.partition("?")[2])

    def page_moved(self, _: str) -> None:
        """Redirect to where the test says: an endpoint of buckets has no query that could say it."""
        self._send(b"", 307, Location=self.server.moved_to)

    def page_redirects_in_a_loop(self, _: str) -> None:
        self._send(b"", 302, Location=self.path)

    def page_redirects_times(self, times: str) -> None:
        self._send(b"", 307, Location=f"/redirects_times/{int(times) - 1}" if int(times) > 1 else "/photo")

    def page_never_answers(self, _: str) -> None:
        self.server.stopping.wait(10)
        self.close_connection = True

    def page_drips_headers(self, _: str) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000)

    def page_drips_body(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        self._drip(b"x" * 10_000)

    def _drip(self, text: bytes) -> None:
        for byte in text:
            self.wfile.write(bytes([byte]))
            if self.server.stopping.wait(0.02):
                break
        self.close_connection = True

    def page_is_endless(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.server.stopping.is_set():
            self.wfile.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    def page_declares(self, length: str) -> None:
        self._send(PHOTO, Content_Length=length)
        self.close_connection = True

    def page_gzipped(self, size: str) -> None:
        self._send(_gzipped_zeros(int(size)), Content_Encoding="gzip")

    def page_gzipped_nothing(self, times: str) -> None:
        """Send so many empty members, which unpack to nothing, in chunks."""
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = _empty_members(int(times))
        for part in (f"{len(body):x}\r\n".encode(), body, b"\r\n0\r\n\r\n"):
            self.wfile.write(part)

    def page_gzipped_and_cut(self, size: str) -> None:
        self._send(_gzipped_zeros(int(size))[:-9], Content_Encoding="gzip")

    def page_encoded(self, encoding: str) -> None:
        self._send(PHOTO, Content_Encoding=encoding)

    def page_hints_early(self, status: str) -> None:
        self.wfile.write(f"HTTP/1.1 {status} Early\r\nLink: </x>\r\n\r\n".encode() * 3)
        self._send(PHOTO)

    def page_says(self, answer: str) -> None:
        """Answer with these bytes, and no more."""
        self.wfile.write(answer.encode("latin-1"))
        self.close_connection = True

    def page_says_what_is_filed(self, name: str) -> None:
        self.wfile.write(self.server.files[name])
        self.close_connection = True

    def page_says_and_stays(self, name: str) -> None:
        """Answer with a file's bytes and keep the connection."""
        self.wfile.write(self.server.files[name])

    def page_says_and_takes_leave(self, name: str) -> None:
        """Answer with a file's bytes and end TLS as it should be ended."""
        self.wfile.write(self.server.files[name])
        with suppress(OSError):  # the client closes without an answer
            self.connection.unwrap()  # type: ignore[attr-defined]
        self.close_connection = True

    def page_has_headers(self, number: str) -> None:
        self._send(PHOTO, **{f"X_{n}": "x" for n in range(int(number))})

    def page_has_an_endless_header(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not self.server.stopping.is_set():
            self.wfile.write(b"x" * 0x1000)

    def page_hints_for_ever(self, _: str) -> None:
        while not self.server.stopping.is_set():
            self.wfile.write(b"HTTP/1.1 103 Early\r\n\r\n")

    def page_says_gzip_but_is_not(self, _: str) -> None:
        self._send(PHOTO, Content_Encoding="gzip")

    def page_hangs_up(self, _: str) -> None:
        self.close_connection = True

    def page_hangs_up_at_first(self, _: str) -> None:
        if self.server.seen.count(self.path) == 1:
            self.close_connection = True
        else:
            self._send(PHOTO)

    def page_talks_nonsense(self, _: str) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.close_connection = True
