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
KEPT = 11  # ten intervals: rates of a single one jump


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
    """Asks each worker once a second while its block runs. `observed` may be called from any thread."""

    def __init__(self, addresses: Sequence[str], token: SecretStr | None = None, clock: Clock | None = None) -> None:
        self._token = token
        self._clock = clock or SystemClock()
        self._answers: dict[str, deque[Scrape]] = {address: deque(maxlen=KEPT) for address in addresses}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(a,), daemon=True) for a in self._answers]

    def __enter__(self) -> Scraper:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()  # the threads end by themselves: the last answer is of no interest

    def observed(self) -> list[Observed]:
        with self._lock:
            return [
                Observed(address, answers[0] if len(answers) > 1 else None, answers[-1] if answers else None)
                for address, answers in self._answers.items()
            ]

    def _ask(self, address: str) -> None:
        answers = self._answers[address]
        while not self._stop.is_set():
            began = self._clock.monotonic()
            answer = scrape(address, self._token, self._clock)
            with self._lock:
                if answer.problem or (answers and answers[-1].problem):
                    answers.clear()
                answers.append(answer)
            self._stop.wait(max(0.0, began + INTERVAL_S - self._clock.monotonic()))


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
