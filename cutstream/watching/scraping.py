"""Ask workers for their metrics, each on a thread of its own: one that is away holds up none of the others."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

from pydantic import SecretStr

from cutstream.clock import Clock, SystemClock
from cutstream.exposition import Exposition, read_exposition

INTERVAL_S = 1.0
_TIMEOUT_S = 2.0
_MOST_BYTES = 16_000_000
_ASKED_S = 3.0
KEPT = 11  # ten intervals: rates of a single one jump
STALE_S = KEPT * INTERVAL_S  # an older answer is of another time than the rates are about


@dataclass(frozen=True)
class Scrape:
    """What a worker answered, and when in monotonic seconds; without an answer, the `problem`."""

    at_s: float
    exposition: Exposition | None = None
    problem: str = ""


@dataclass(frozen=True)
class Observed:
    """A worker's latest answer, and an earlier one to compare it with, if both are of one unbroken time."""

    address: str
    earlier: Scrape | None
    later: Scrape | None


class Scraper:
    """Asks each worker once a second while its block runs, or when `ask` is called. Any thread may call `observed`."""

    def __init__(self, addresses: Sequence[str], token: SecretStr | None = None, clock: Clock | None = None) -> None:
        self._token = token
        self._clock = clock or SystemClock()
        self._answers: dict[str, deque[Scrape]] = {address: deque(maxlen=KEPT) for address in addresses}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked: dict[str, threading.Thread] = {}

    def __enter__(self) -> Scraper:
        for address in self._answers:
            threading.Thread(target=self._keep_asking, args=(address,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()  # the threads end by themselves: the last answer is of no interest

    def ask(self) -> None:
        """Ask each worker once, and wait for the answers, for 3 s at most. One thread at a time may call it."""
        until = self._clock.monotonic() + _ASKED_S
        for address in self._answers:
            if address not in self._asked or not self._asked[address].is_alive():
                self._asked[address] = threading.Thread(target=self._ask, args=(address,), daemon=True)
                self._asked[address].start()
        for thread in self._asked.values():
            thread.join(max(0.0, until - self._clock.monotonic()))

    def observed(self) -> list[Observed]:
        with self._lock:
            return [
                Observed(address, answers[0] if len(answers) > 1 else None, answers[-1] if answers else None)
                for address, answers in self._answers.items()
            ]

    def _keep_asking(self, address: str) -> None:
        while not self._stop.is_set():
            began = self._clock.monotonic()
            self._ask(address)
            self._stop.wait(max(0.0, began + INTERVAL_S - self._clock.monotonic()))

    def _ask(self, address: str) -> None:
        answers, answer = self._answers[address], scrape(address, self._token, self._clock)
        with self._lock:
            if answer.problem or (answers and answers[-1].problem):
                answers.clear()
            while answers and answer.at_s - answers[0].at_s > STALE_S:
                answers.popleft()
            answers.append(answer)


def scrape(address: str, token: SecretStr | None, clock: Clock) -> Scrape:
    """Ask one worker once. Its answer may be anything, or drip: it is read for two seconds at most."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        if response.status == HTTPStatus.UNAUTHORIZED:
            wrong = "another metrics token than" if token else "a metrics token: set"
            return Scrape(clock.monotonic(), problem=f"asks for {wrong} CUTSTREAM_WORKER__METRICS_TOKEN")
        if response.status != HTTPStatus.OK:
            return Scrape(clock.monotonic(), problem=f"answers {response.status} at /metrics: is it a worker?")
        exposition = read_exposition(_body(response, clock).decode())
    except (OSError, http.client.HTTPException) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
        return Scrape(clock.monotonic(), problem=f"away: {reason}")
    except ValueError as exc:
        return Scrape(clock.monotonic(), problem=f"answers no metrics: {exc}")
    finally:
        connection.close()
    return Scrape(clock.monotonic(), exposition)


def _body(response: http.client.HTTPResponse, clock: Clock) -> bytes:
    until, body = clock.monotonic() + _TIMEOUT_S, bytearray()
    while chunk := response.read1(65_536):
        body += chunk
        if len(body) > _MOST_BYTES or clock.monotonic() > until:
            raise TimeoutError("its answer is too long or too slow")
    return bytes(body)
