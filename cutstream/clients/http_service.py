"""Calls to the HTTP service in front of the stream."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic

from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

import cutstream
from cutstream.errors import Retryable
from cutstream.redaction import redact

_CONNECT_S = 5.0
_ANSWER_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 8.0
_NOT_NOW = frozenset({408, 429, 502, 503, 504})
_MAX_REDIRECTS = 3

Part = tuple[str, bytes]
"""A file of a form: its name and its bytes."""


class GatewayUnavailable(Retryable):
    """The HTTP service does not answer, or takes nothing at the moment."""

    code = "gateway_unavailable"


@dataclass(frozen=True)
class Answer:
    """An answer, whole. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpService:
    """Calls one service, on at most so many connections. Thread-safe.

    `stop` ends the pauses between attempts.
    """

    def __init__(self, address: str, key: str | None, connections: int, stop: Event) -> None:
        self.address = address.rstrip("/")
        self._shown = redact(self.address)
        self._stop = stop
        headers = {"User-Agent": f"cutstream/{cutstream.__version__}"}
        if key is not None:  # urllib3 does not show this header to another host that it is sent on to
            headers["Authorization"] = f"Bearer {key}"
        self._pool = PoolManager(
            maxsize=connections,
            block=True,
            headers=headers,
            timeout=Timeout(connect=_CONNECT_S, read=_ANSWER_S),
            retries=Retry(None, connect=0, read=0, status=0, other=0, redirect=_MAX_REDIRECTS),
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        json: bytes | None = None,
        fields: Sequence[tuple[str, str] | tuple[str, Part]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call. Raises GatewayUnavailable if there is no whole answer."""
        sent = {**self._pool.headers, **(headers or {})}
        try:
            if json is None:
                answer = self._pool.request(method, f"{self.address}{path}", fields=fields or None, headers=sent)
            else:
                sent["Content-Type"] = "application/json"
                answer = self._pool.request(method, f"{self.address}{path}", body=json, headers=sent)
        except (HTTPError, OSError) as exc:
            raise GatewayUnavailable(
                f"no HTTP service answers at {self._shown} (is `cutstream serve` running?): {_reason(exc)}"
            ) from exc
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def call_until(self, limit_s: float, make: Callable[[], Answer]) -> Answer:
        """Make a call again and again until it is answered, or refused for good. It must be safe to make it twice.

        Between attempts it pauses, ever longer, or as long as the service asks for. Raises GatewayUnavailable after
        `limit_s`, or when it is stopped.
        """
        ends, pause_s = monotonic() + limit_s, _FIRST_PAUSE_S
        while True:
            asked_s = None
            try:
                answer = make()
                if answer.status not in _NOT_NOW:
                    return answer
                asked_s = _seconds(answer.headers.get("retry-after", ""))
                problem = f"the HTTP service at {self._shown} takes nothing now ({answer.status})"
            except GatewayUnavailable as exc:
                problem = str(exc)
            wait_s = asked_s if asked_s is not None else pause_s * random.uniform(0.5, 1.0)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if monotonic() + wait_s > ends or self._stop.wait(wait_s):
                raise GatewayUnavailable(problem, asked_s)

    def close(self) -> None:
        self._pool.clear()


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _reason(exc: Exception) -> str:
    cause = getattr(exc, "reason", None) or exc
    return redact(str(cause).rpartition(": ")[2] if isinstance(cause, Exception) else str(exc))
