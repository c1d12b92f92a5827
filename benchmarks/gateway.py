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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from rich.console import Console

import consumer
import producer.gateway
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
    bodies = [Path(path_of(photo)).read_bytes() for photo in photos]
    with httpx.Client(base_url=_address(settings), timeout=60) as client, _Direct(settings) as direct:

        def call(number: int) -> float:
            began = time.perf_counter()
            answer = client.post("/api/remove", files={"file": bodies[number % len(bodies)]})
            answer.raise_for_status()
            return time.perf_counter() - began

        for number in range(WARM_UP):
            call(number)
            direct.send(photos[number % len(photos)]).result(60)
        if "latency" in parts:
            seconds = [call(number) for number in range(calls)]
            show(record("gateway", part="latency", size=SIZE, calls=calls, **_milliseconds(seconds)))
        if "overhead" in parts:
            measure_overhead(call, direct, photos, calls)


def measure_overhead(call: Callable[[int], float], direct: _Direct, photos: Sequence[str], pairs: int) -> None:
    """Send calls and direct requests in turn at half of the rate that both together reach at most."""
    with ThreadPoolExecutor(32) as pool:
        began = time.perf_counter()
        list(pool.map(call, range(60)))
        capacity = 60 / (time.perf_counter() - began)
        interval_s = 2 / capacity
        over_http: list[Future[float]] = []
        over_kafka: list[Future[float]] = []
        began = time.perf_counter()
        for number in range(2 * pairs):
            time.sleep(max(0.0, began + number * interval_s - time.perf_counter()))
            if number % 2:
                over_http.append(pool.submit(call, number))
            else:
                over_kafka.append(direct.send(photos[number % len(photos)]))
        http_s, kafka_s = ([future.result(120) for future in futures] for futures in (over_http, over_kafka))
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
        asyncio.run(_load(settings, RATE, 5.0))
        before = gateway.cpu_times()
        latencies, failed = asyncio.run(_load(settings, RATE, seconds))
        after = gateway.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    answered = len(latencies)
    show(
        record(
            "gateway",
            part="rate",
            body_bytes=len(SMALL_BODY),
            asked_per_s=RATE,
            answered_per_s=round(answered / seconds, 1),
            failed=failed,
            cpu_ms_per_call=round(cpu_s / max(1, answered) * 1000, 2),
            core_would_do_per_s=round(answered / cpu_s, 1) if cpu_s else None,
            **_milliseconds(latencies),
        )
    )


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

            async def burst() -> tuple[list[float], int]:
                watching = asyncio.create_task(watch())
                found = await _gather([_Connection(settings).call() for _ in range(WAITING)])
                watching.cancel()
                return found

            latencies, failed = asyncio.run(burst())
            time.sleep(2)
            rounds.append(
                {
                    "answered": len(latencies),
                    "failed": failed,
                    "peak_mb": round(peak / 1e6, 1),
                    "afterwards_mb": round(process.memory_info().rss / 1e6, 1),
                }
            )
    show(record("gateway", part="waiting", calls=WAITING, rest_mb=round(rest / 1e6, 1), rounds=rounds))


async def _load(settings: Settings, rate: float, seconds: float) -> tuple[list[float], int]:
    """Send calls in an open loop over as many connections as are needed."""
    idle: list[_Connection] = []

    async def one(due: float) -> float:
        connection = idle.pop() if idle else _Connection(settings)
        await connection.call()
        idle.append(connection)
        return time.perf_counter() - due

    began = time.perf_counter()
    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(one(due))
        tasks[-1] = asyncio.ensure_future(tasks[-1])  # type: ignore[assignment]
    found = await _gather(tasks)
    for connection in idle:
        connection.close()
    return found


async def _gather(calls: Sequence[Awaitable[float]]) -> tuple[list[float], int]:
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [o for o in outcomes if isinstance(o, float)], sum(not isinstance(o, float) for o in outcomes)


class _Connection:
    """A client that costs less than what it measures: one connection, and one body that never changes."""

    def __init__(self, settings: Settings) -> None:
        self._host, self._port = settings.gateway.host, settings.gateway.port
        body = (
            b"--x\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n\r\n" + SMALL_BODY + b"\r\n--x--\r\n"
        )
        head = f"POST /api/remove HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        self._request = f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self) -> float:
        """Return the seconds until the whole answer was there. Raises an error for any status but 200."""
        began = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        return time.perf_counter() - began

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def show(line: dict[str, object]) -> None:
    console.print_json(data=line)


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]
    at = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 1) for name, q in at.items()}


def _address(settings: Settings) -> str:
    return f"http://{settings.gateway.host}:{settings.gateway.port}"


def _python_below(guard: int) -> int:
    """Return the process id of the gateway itself, below its guard."""
    return int(psutil.Process(guard).children()[0].pid)


if __name__ == "__main__":
    main()
