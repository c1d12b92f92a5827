from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from consumer.health import HealthServer
from cutstream import metrics as m
from cutstream.clock import SystemClock
from cutstream.metrics import Metrics
from cutstream.watching import scraping
from cutstream.watching.scraping import Scraper, scrape
from tests.support.ports import free_ports

TOKEN = SecretStr("0123456789abcdef")


@pytest.fixture
def worker() -> Iterator[str]:
    metrics = Metrics()
    metrics.in_flight.set(5)
    server = HealthServer("127.0.0.1", 0, metrics, dict, dict, TOKEN)
    yield server.start().removeprefix("http://")
    server.close()


def test_a_worker_is_asked_with_the_token(worker: str) -> None:
    answer = scrape(worker, TOKEN, SystemClock())
    assert answer.exposition is not None
    assert answer.exposition.total(m.IN_FLIGHT) == 5
    assert "set CUTSTREAM_WORKER__METRICS_TOKEN" in scrape(worker, None, SystemClock()).problem
    assert "another metrics token" in scrape(worker, SecretStr("x" * 16), SystemClock()).problem


def test_nobody_at_the_address_is_a_problem_with_a_reason() -> None:
    assert scrape(f"127.0.0.1:{free_ports(1)[0]}", None, SystemClock()).problem == "away: Connection refused"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404 at /metrics: is it a worker?"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "answers no metrics: "),
        (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "answers no metrics: "),
        (b"SSH-2.0-OpenSSH\r\n", "away: "),
        (b"", "away: "),
    ],
)
def test_another_server_at_the_address_is_a_problem(answer: bytes, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert scrape(f"127.0.0.1:{server.getsockname()[1]}", None, SystemClock()).problem.startswith(problem)
        thread.join()


def test_an_answer_that_drips_or_has_no_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(200):
                    try:
                        connection.sendall(b"# x\n")
                    except OSError:
                        return
                    time.sleep(0.1)

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        answer = scrape(f"127.0.0.1:{server.getsockname()[1]}", None, SystemClock())
        assert answer.problem == "away: its answer is too long or too slow"
        assert time.monotonic() - began < 10
        thread.join()


def test_answers_are_compared_over_an_unbroken_time_only(monkeypatch: pytest.MonkeyPatch, worker: str) -> None:
    monkeypatch.setattr(scraping, "INTERVAL_S", 0.02)
    with Scraper([worker, f"127.0.0.1:{free_ports(1)[0]}"], TOKEN) as scraper:
        until = time.monotonic() + 30
        while not ((seen := scraper.observed()) and seen[0].earlier and seen[1].later):
            assert time.monotonic() < until
            time.sleep(0.02)
    well, away = seen
    assert well.earlier is not None
    assert well.later is not None
    assert well.earlier.at_s < well.later.at_s
    assert away.later is not None
    assert away.later.problem.startswith("away")
    assert away.earlier is None
