"""Measure the HTTP gateway: `python -m benchmarks.gateway`.

latency   a synchronous call with a photo of 640×427, one at a time, profile `fast`, on the whole stack
overhead  what HTTP adds to the stream's own latency, at half of what the stack can do: calls and requests that go
          straight to Kafka take turns
rate      calls with small bodies at 200 a second, the gateway on one core, with a worker that does nothing
waiting   memory of the gateway with 1,000 calls that wait for ten seconds, twice

Each adds a line to benchmarks/results/gateway.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console

import consumer
import producer.gateway
from benchmarks.lean_client import Connection, Connections, Outcome, all_of, at_rate, photo_request
from benchmarks.machine import record
from benchmarks.photos import make_photos, photo_settings
from cutstream.clients.kafka import OutgoingRecord, ensure_topics
from cutstream.clients.objects.files import path_of
from cutstream.clock import SystemClock
from cutstream.contract.messages import Request, Result, encode
from cutstream.settings import Settings, addressed, as_environment
from deploy.local.kafka import kafka_server
from deploy.local.process import Supervisor
from deploy.local.running import gateway_server, running_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.gateway.load import Load
from producer.gateway.stream import Stream

PARTS = ("latency", "overhead", "rate", "waiting")
SIZE = (640, 427)
RATE = 200.0
WAITING = 1000
WAIT_S = 10.0
WARM_UP = 30
SMALL_BODY = b"\xff\xd8" + bytes(5000)

console = Console()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--parts", default=",".join(PARTS))
    arguments.add_argument("--calls", type=int, default=300, help="calls of latency, and pairs of overhead")
    arguments.add_argument("--seconds", type=float, default=30.0, help="duration of rate")
    chosen = arguments.parse_args()
    parts = chosen.parts.split(",")
    with (
        tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder,
        throwaway(photo_settings(Path(folder))) as own,
    ):
        state = Path(folder) / "gateway"
        gateway = own.gateway.model_copy(update={"state": state, "timeout_s": 60.0})
        settings = own.model_copy(update={"gateway": gateway})
        if {"latency", "overhead"} & set(parts):
            photos = make_photos(Path(folder) / "photos", 20, SIZE)
            (state / "uploads").mkdir(parents=True, exist_ok=True)
            render(settings)
            with running_stack(settings, consumer.COMMAND, gateway_command=producer.gateway.COMMAND) as stack:
                measure_stack(stack.settings, photos, chosen.calls, parts)
        if {"rate", "waiting"} & set(parts):
            with only_gateway(settings) as (complete, supervisor):
                pid = _python_below(supervisor.pid("gateway"))
                if "rate" in parts:
                    measure_rate(complete, pid, chosen.seconds)
                if "waiting" in parts:
                    measure_waiting(complete, pid)


# -- on the whole stack


def measure_stack(settings: Settings, photos: Sequence[str], calls: int, parts: Sequence[str]) -> None:
    requests = [photo_request(Path(path_of(photo)).read_bytes()) for photo in photos]
    with _Direct(settings) as direct:
        asyncio.run(_measure_stack(settings, requests, direct, photos, calls, parts))


async def _measure_stack(
    settings: Settings,
    requests: Sequence[bytes],
    direct: _Direct,
    photos: Sequence[str],
    calls: int,
    parts: Sequence[str],
) -> None:
    connections = Connections(settings)

    async def over_http(number: int) -> float:
        return await connections.call(requests[number % len(requests)])

    async def over_kafka(number: int) -> float:
        return await asyncio.wrap_future(direct.send(photos[number % len(photos)]))

    for number in range(WARM_UP):
        await over_http(number)
        await over_kafka(number)
    if "latency" in parts:
        seconds = [await over_http(number) for number in range(calls)]
        show(record("gateway", part="latency", size=SIZE, calls=calls, **_milliseconds(seconds)))
    if "overhead" in parts:
        await measure_overhead(over_http, over_kafka, calls)
    connections.close()


async def measure_overhead(
    over_http: Callable[[int], Awaitable[float]], over_kafka: Callable[[int], Awaitable[float]], pairs: int
) -> None:
    """Send calls and direct requests in turn at half of the rate that both together reach at most."""
    at_once = asyncio.Semaphore(32)

    async def bounded(number: int) -> float:
        async with at_once:
            return await over_http(number)

    began = time.perf_counter()
    await asyncio.gather(*(bounded(number) for number in range(60)))
    capacity = 60 / (time.perf_counter() - began)
    began, http, kafka = time.perf_counter(), [], []
    for number in range(2 * pairs):
        await asyncio.sleep(max(0.0, began + number * 2 / capacity - time.perf_counter()))
        make, made = (over_http, http) if number % 2 else (over_kafka, kafka)
        made.append(asyncio.ensure_future(make(number)))
    http_s, kafka_s = [await asyncio.gather(*made) for made in (http, kafka)]
    medians = [statistics.median(seconds) * 1000 for seconds in (http_s, kafka_s)]
    show(
        record(
            "gateway",
            part="overhead",
            size=SIZE,
            pairs=pairs,
            capacity_per_s=round(capacity, 1),
            http=_milliseconds(http_s),
            kafka=_milliseconds(kafka_s),
            overhead_p50_ms=round(medians[0] - medians[1], 1),
        )
    )


class _Direct:
    """Sends urgent requests to Kafka and waits for their results, with the gateway's own Kafka side."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._waiting: dict[str, tuple[float, Future[float]]] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._stream = Stream(self._kafka, Load(SystemClock()), self._waiting.__contains__, self._deliver)

    def __enter__(self) -> _Direct:
        self._stream.start({})
        assert self._stream.wait_until_ready(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()

    def send(self, photo: str) -> Future[float]:
        """Send a request. The future has the seconds until its result was read."""
        with self._lock:
            self._count += 1
            id = f"direct-{os.getpid()}-{self._count}"
            future: Future[float] = Future()
            self._waiting[id] = (time.perf_counter(), future)
        request = Request(id=id, image=photo, format="png")
        self._stream.write([OutgoingRecord(self._kafka.urgent_topic, id.encode(), encode(request))])
        return future

    def _deliver(self, results: Sequence[Result], positions: object) -> None:
        for result in results:
            began, future = self._waiting.pop(result.id)
            assert result.status == "ok", result
            future.set_result(time.perf_counter() - began)


# -- the gateway alone, with a worker that does nothing


@contextmanager
def only_gateway(settings: Settings) -> Iterator[tuple[Settings, Supervisor]]:
    """Run Kafka and a gateway. The gateway keeps to one core, and everything else to the others."""
    with Supervisor(settings.stack.start_timeout_s) as supervisor:
        if not settings.kafka.bootstrap_servers:
            supervisor.start(kafka_server(settings.stack))
        complete = addressed(settings)
        ensure_topics(complete.kafka)
        supervisor.start(gateway_server(complete, producer.gateway.COMMAND))
        yield complete, supervisor


@contextmanager
def instant_worker(settings: Settings, delay_s: float) -> Iterator[None]:
    environment = {**os.environ, **as_environment(settings)}
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.instant_worker", str(delay_s)], env=environment)
    try:
        time.sleep(5)  # until it has its partitions
        yield
    finally:
        process.terminate()
        process.wait()


def measure_rate(settings: Settings, pid: int, seconds: float) -> None:
    gateway = psutil.Process(pid)
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores[:1])
    with instant_worker(settings, 0.0):
        asyncio.run(_load(settings, 5.0))
        before = gateway.cpu_times()
        outcome = asyncio.run(_load(settings, seconds))
        after = gateway.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    answered = len(outcome.seconds)
    show(
        record(
            "gateway",
            part="rate",
            body_bytes=len(SMALL_BODY),
            asked_per_s=RATE,
            answered_per_s=round(answered / seconds, 1),
            **outcome.figures,
            cpu_ms_per_call=round(cpu_s / max(1, answered) * 1000, 2),
            core_would_do_per_s=round(answered / cpu_s, 1) if cpu_s else None,
            **_milliseconds(outcome.seconds),
        )
    )


async def _load(settings: Settings, seconds: float) -> Outcome:
    connections, request = Connections(settings), photo_request(SMALL_BODY)
    outcome = await at_rate(lambda number: connections.call(request), RATE, int(RATE * seconds))
    connections.close()
    return outcome


def measure_waiting(settings: Settings, pid: int) -> None:
    process = psutil.Process(pid)
    with instant_worker(settings, WAIT_S):
        rest = process.memory_info().rss
        rounds = []
        for _ in range(2):
            peak = 0

            async def watch() -> None:
                nonlocal peak
                while True:
                    peak = max(peak, process.memory_info().rss)
                    await asyncio.sleep(0.1)

            async def burst() -> Outcome:
                watching = asyncio.create_task(watch())
                request = photo_request(SMALL_BODY)
                found = await all_of([Connection(settings).call(request) for _ in range(WAITING)])
                watching.cancel()
                return found

            outcome = asyncio.run(burst())
            time.sleep(2)
            rounds.append(
                {
                    "answered": len(outcome.seconds),
                    **outcome.figures,
                    "peak_mb": round(peak / 1e6, 1),
                    "afterwards_mb": round(process.memory_info().rss / 1e6, 1),
                }
            )
    show(record("gateway", part="waiting", calls=WAITING, rest_mb=round(rest / 1e6, 1), rounds=rounds))


def show(line: dict[str, object]) -> None:
    console.print_json(data=line)


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]
    at = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 1) for name, q in at.items()}


def _python_below(guard: int) -> int:
    """Return the process id of the gateway itself, below its guard."""
    return int(psutil.Process(guard).children()[0].pid)


if __name__ == "__main__":
    main()
