"""Send a small body to an http(s) address that somebody else has named: a webhook. It goes through the guard."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from time import monotonic

import cutstream
from cutstream.clients.objects.guard import Guard, reason_of
from cutstream.clients.objects.web_address import parse_web_address
from cutstream.errors import SourceUnavailable

_MAX_ANSWER_BYTES = 16 * 1024


class Poster:
    """Posts bodies. No redirect is followed, and nothing of an answer but its status counts. Thread-safe."""

    def __init__(self, guard: Guard, timeout_s: float) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._context = ssl.create_default_context()

    def check(self, url: str) -> str:
        """Return the host of an address that may be posted to. Raises RefusedAddress for one that is refused anyway."""
        host = parse_web_address(url).host
        self._guard.check(host)
        return host

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post a body and return the status of the answer.

        Raises RefusedAddress, NoSuchHost, or SourceUnavailable if there is no answer in time.
        """
        address = parse_web_address(url)
        port = address.port or (443 if address.scheme == "https" else 80)
        expires = monotonic() + self._timeout_s
        connected: socket.socket = self._guard.connect(address.host, port, self._timeout_s)
        try:
            connected.settimeout(max(0.001, expires - monotonic()))
            if address.scheme == "https":
                connected = self._context.wrap_socket(connected, server_hostname=address.host.strip("[]"))
            connection = http.client.HTTPConnection(address.host, port)
            connection.sock = connected
            sent = {"User-Agent": f"cutstream/{cutstream.__version__}", "Connection": "close", **headers}
            connection.request("POST", address.target, body, sent)
            connected.settimeout(max(0.001, expires - monotonic()))
            answer = connection.getresponse()
            answer.read(_MAX_ANSWER_BYTES)
            return answer.status
        except (OSError, http.client.HTTPException) as exc:
            raise SourceUnavailable(f"{address}: {reason_of(exc)}") from exc
        finally:
            connected.close()
