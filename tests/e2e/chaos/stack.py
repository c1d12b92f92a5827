"""The stack of a run: Kafka, Triton, workers, an S3 server and an HTTP source, each a target of faults."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cutstream.clients.kafka import ensure_topics
from cutstream.errors import StackError
from cutstream.settings import (
    BYTES_PER_PIXEL,
    KafkaSettings,
    LimitSettings,
    ObjectSettings,
    Settings,
    StackSettings,
    TritonSettings,
    WorkerSettings,
    addressed,
)
from deploy.local.kafka import kafka_server
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.restarts import Restarter
from deploy.local.triton import triton_server
from export.repository.render import render
from tests.e2e.chaos.proxy import Proxy
from tests.e2e.chaos.workload import CROP, Places, write_photos
from tests.support.http_server import HttpServer, serving
from tests.support.ports import free_stack_ports
from tests.support.s3_server import NoGateway, S3Server, gateway, s3_server
from tests.support.workers import WorkerProcess

BUCKET = "chaos"
SESSION_S = 6.0
WORKER_COMMAND = (sys.executable, "-m", "tests.e2e.chaos.worker")
START_TIMEOUT_S = 90
MEMORY_BYTES, MOST_PIXELS = 1_000_000_000, 50_000_000
DISK_BYTES_EACH, DISK_BYTES_LEAST = 100_000, 64_000_000


@dataclass
class Death:
    """A worker that ended although no fault ended it, or a server that is not started again."""

    name: str
    at_s: float
    log: str


@dataclass
class ChaosStack:
    """The running stack. Only the thread that runs the schedule may use it.

    `disk` is the folder of the outputs, on a file system of its own, or None where none can be mounted. `missing` says
    why a part is not there. `leaving` are the workers that are ending because of a fault. `reports` is what the local
    stack says about its servers.
    """

    settings: Settings
    folder: Path
    supervisor: Supervisor
    servers: dict[str, ServerSpec]
    store: Proxy | None
    source: Proxy
    http: HttpServer
    places: Places
    photos: list[str]
    disk: Path | None
    missing: dict[str, str]
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    deaths: list[Death] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.reports: list[str] = []
        self.restarter = Restarter(self.supervisor, self.reports.append)

    def start_worker(self, name: str) -> WorkerProcess:
        """Start a worker and do not wait for it."""
        (self.folder / "logs").mkdir(exist_ok=True)
        worker = WorkerProcess(self.settings, self.folder / "logs" / f"{name}.log", WORKER_COMMAND)
        self.workers[name] = worker
        return worker

    def pick_worker(self, choice: int) -> tuple[str, WorkerProcess]:
        names = sorted(self.workers)
        name = names[choice % len(names)]
        return name, self.workers[name]

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the server's process and, for Triton, its stubs. There are none while the server is down."""
        try:
            family = psutil.Process(self.supervisor.pid(name)).children(recursive=True)
            return [*family[:1], *(process for process in family[1:] if "stub" in process.name())]
        except psutil.NoSuchProcess:
            return []

    def await_server(self, name: str) -> None:
        """Return when the server is healthy again. The local stack's own Restarter starts it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.supervisor.exit_code(name) is not None or not self.servers[name].ready():
            assert time.monotonic() < deadline, f"{name} is not healthy after {START_TIMEOUT_S} s"
            self.revive()
            time.sleep(0.2)

    def revive(self) -> None:
        """Restart what has died, and note workers that ended without a fault that explains it. Call it often."""
        try:
            self.restarter.check()
        except StackError as exc:
            self.deaths.append(Death("the local stack gave up", time.monotonic(), str(exc)))
            self.restarter = Restarter(self.supervisor, self.reports.append)
        for name, worker in list(self.workers.items()):
            if worker.process.poll() is not None and name not in self.leaving:
                self.deaths.append(Death(f"{name} ({worker.process.returncode})", time.monotonic(), worker.tail(15)))
                self.start_worker(name)


@contextmanager
def chaos_stack(
    folder: Path,
    requests: int,
    photos: int,
    tools: Path,
    jars: Path,
    photo_size: tuple[int, int] = CROP,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[ChaosStack]:
    """Start everything but the workers. `requests` is the size of the run, for which the disk must have room.

    `photo_size` is the width and height of the photos in pixels, `memory_bytes` a worker's budget for decoded ones.
    """
    missing: dict[str, str] = {}
    # Inherited by workers: these signals must not end one that does not handle them yet.
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with ExitStack() as parts:
        disk = parts.enter_context(small_disk(folder / "out", requests, missing))
        names = write_photos(folder / "photos", photos, photo_size)
        (folder / "photos" / "corrupt.jpg").write_bytes(b"this is not a photo")
        http = parts.enter_context(serving(HttpServer()))
        http.files = {name: (folder / "photos" / name).read_bytes() for name in names}
        source = parts.enter_context(Proxy(http.port).running())
        s3 = _s3(parts, folder, tools, missing)
        store = parts.enter_context(Proxy(s3.port).running()) if s3 else None
        sources = [(folder / "photos").as_uri(), f"http://127.0.0.1:{source.port}/files"]
        destinations: list[str | None] = [None]
        if s3:
            shutil.copytree(folder / "photos", s3.bucket(BUCKET) / "photos")
            sources.append(f"s3://{BUCKET}/photos")
            destinations.append(f"s3://{BUCKET}/out")
        settings = _settings(folder, jars, store.port if store else None, s3, memory_bytes)
        render(settings)
        supervisor = parts.enter_context(Supervisor(START_TIMEOUT_S))
        servers = {server.name: server for server in (kafka_server(settings.stack), triton_server(settings))}
        supervisor.start(*servers.values())
        settings = addressed(settings)
        ensure_topics(settings.kafka)
        places = Places(sources, destinations)
        stack = ChaosStack(settings, folder, supervisor, servers, store, source, http, places, names, disk, missing)
        parts.callback(lambda: [worker.kill() for worker in stack.workers.values()])
        yield stack


def _settings(folder: Path, jars: Path, store_port: int | None, s3: S3Server | None, memory_bytes: int) -> Settings:
    roots = {"destination": (folder / "out").as_uri(), "file_roots": (folder / "photos", folder / "out")}
    common = {**roots, "allowed_hosts": ("127.0.0.1",), "allow_private_addresses": True, "allowed_buckets": (BUCKET,)}
    if s3:
        objects = s3.settings(**{**common, "s3_endpoint": f"http://127.0.0.1:{store_port}"})
    else:
        objects = ObjectSettings.model_validate(common)
    return Settings(
        kafka=KafkaSettings(session_timeout_s=SESSION_S, partitions=6),
        triton=TritonSettings(timeout_s=5),
        objects=objects,
        # A source is away for up to 10 s, and then its requests must succeed all the same.
        limits=LimitSettings(
            download_timeout_s=4,
            retries=20,
            retry_delay_s=3,
            max_source_pixels=min(MOST_PIXELS, memory_bytes // BYTES_PER_PIXEL),
        ),
        worker=WorkerSettings(memory_bytes=memory_bytes, drain_timeout_s=15, port=0),
        stack=StackSettings(
            state=folder / "state", private=False, jars=jars, start_timeout_s=START_TIMEOUT_S, **free_stack_ports()
        ),
    )


def _s3(parts: ExitStack, folder: Path, tools: Path, missing: dict[str, str]) -> S3Server | None:
    try:
        binary = gateway(tools)
    except NoGateway as exc:
        missing["store"] = str(exc)
        return None
    (folder / "s3").mkdir()
    return parts.enter_context(s3_server(binary, folder / "s3"))


@contextmanager
def small_disk(folder: Path, requests: int, missing: dict[str, str]) -> Iterator[Path | None]:
    """Mount a small file system on the folder, which may then be filled. Without the right to do so, yield None."""
    folder.mkdir()
    size = max(DISK_BYTES_LEAST, requests * DISK_BYTES_EACH)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid():
        command = ["sudo", "-n", *command]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as exc:
        missing["disk"] = f"{command[0]}: {exc.strerror}"
        yield None
        return
    if mounted.returncode:
        missing["disk"] = mounted.stderr.strip()
        yield None
        return
    try:
        yield folder
    finally:
        unmount = ["umount", "--lazy", str(folder)]
        subprocess.run(["sudo", "-n", *unmount] if os.geteuid() else unmount, check=True)
