"""The faults. Each is a context manager: it does harm when it is entered and ends the harm when it is left.

What has to be started again is healthy when it is left, except workers, which are not waited for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TypeAlias

import psutil
from kafka.admin import KafkaAdminClient

from tests.e2e.chaos.proxy import Mode, Proxy
from tests.e2e.chaos.schedule import KINDS, Fault
from tests.e2e.chaos.stack import ChaosStack

EXTRA_WORKER = "worker-extra"
FILLER_CHUNK = 1 << 20

Begin: TypeAlias = Callable[[ChaosStack, int], AbstractContextManager[str]]


def begin(stack: ChaosStack, fault: Fault) -> AbstractContextManager[str]:
    """Return the fault's context manager. On entry it returns what it has hit, for people."""
    return FAULTS[fault.kind](stack, fault.choice)


def available(stack: ChaosStack) -> tuple[str, ...]:
    """Return the kinds of faults that this stack can have."""
    return tuple(kind for kind in KINDS if kind.partition(" ")[0] not in stack.missing)


@contextmanager
def worker_killed(stack: ChaosStack, choice: int) -> Iterator[str]:
    name, worker = stack.pick_worker(choice)
    stack.leaving.add(name)
    worker.kill()
    yield name
    stack.start_worker(name)
    stack.leaving.discard(name)


@contextmanager
def worker_frozen(stack: ChaosStack, choice: int) -> Iterator[str]:
    name, worker = stack.pick_worker(choice)
    worker.signal(signal.SIGSTOP)
    try:
        yield name
    finally:
        worker.signal(signal.SIGCONT)


@contextmanager
def worker_joins(stack: ChaosStack, choice: int) -> Iterator[str]:
    worker = stack.start_worker(EXTRA_WORKER)
    yield EXTRA_WORKER
    stack.leaving.add(EXTRA_WORKER)
    code = worker.terminate()
    del stack.workers[EXTRA_WORKER]
    stack.leaving.discard(EXTRA_WORKER)
    # On a busy machine it may still be starting, and then it handles no signal yet.
    assert code in (0, -signal.SIGTERM), f"the worker that left ended with {code}:\n{worker.tail()}"


@contextmanager
def worker_leaves(stack: ChaosStack, choice: int) -> Iterator[str]:
    name, worker = stack.pick_worker(choice)
    stack.leaving.add(name)
    worker.signal(signal.SIGTERM)
    yield name
    worker.process.wait(stack.settings.worker.drain_timeout_s + 15)
    stack.start_worker(name)
    stack.leaving.discard(name)


@contextmanager
def worker_clock(number: signal.Signals, stack: ChaosStack, choice: int) -> Iterator[str]:
    """Let a worker's wall clock jump, and jump back."""
    name, worker = stack.pick_worker(choice)
    worker.signal(number)
    yield name
    worker.signal(signal.SIGUSR1 if number == signal.SIGUSR2 else signal.SIGUSR2)


@contextmanager
def server_killed(server: str, stack: ChaosStack, choice: int) -> Iterator[str]:
    for process in stack.processes(server)[:1]:
        process.kill()
    yield server
    stack.await_server(server)


@contextmanager
def server_frozen(server: str, stack: ChaosStack, choice: int) -> Iterator[str]:
    """Freeze the server with all its processes."""
    yield from _freeze(stack.processes(server), server)


@contextmanager
def stub_killed(stack: ChaosStack, choice: int) -> Iterator[str]:
    for process in _stubs(stack):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    yield "stub"


@contextmanager
def stub_frozen(stack: ChaosStack, choice: int) -> Iterator[str]:
    yield from _freeze(_stubs(stack), "stub")


def _stubs(stack: ChaosStack) -> list[psutil.Process]:
    """Return the processes of Triton's backends, without their watchdogs, which notice that they are gone."""
    found = []
    for process in stack.processes("triton"):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("triton_python"):
                found.append(process)
    return found


def _freeze(processes: list[psutil.Process], name: str) -> Iterator[str]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield name
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def proxied(pick: Callable[[ChaosStack], Proxy | None], mode: Mode, stack: ChaosStack, choice: int) -> Iterator[str]:
    proxy = pick(stack)
    assert proxy
    proxy.set(mode)
    try:
        yield mode
    finally:
        proxy.set("passes")


@contextmanager
def disk_full(stack: ChaosStack, choice: int) -> Iterator[str]:
    assert stack.disk
    filler = stack.disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(FILLER_CHUNK))
    with filler.open("ab", buffering=0) as file, suppress(OSError):  # the last pages
        while True:
            file.write(bytes(4096))
    free = os.statvfs(stack.disk).f_bavail
    try:
        yield f"{free} blocks left"
    finally:
        filler.unlink()


@contextmanager
def topics_grow(stack: ChaosStack, choice: int) -> Iterator[str]:
    """Add a partition to the topics of new requests."""
    kafka = stack.settings.kafka
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        topics = [topic for topic in kafka.request_topics if topic != kafka.retry_topic]
        sizes = {topic["name"]: len(topic["partitions"]) + 1 for topic in admin.describe_topics(topics)}
        admin.create_partitions(sizes)
    finally:
        admin.close()
    yield ", ".join(f"{topic}: {size}" for topic, size in sorted(sizes.items()))


def _store(stack: ChaosStack) -> Proxy | None:
    return stack.store


def _source(stack: ChaosStack) -> Proxy | None:
    return stack.source


FAULTS: Mapping[str, Begin] = {
    "worker killed": worker_killed,
    "worker frozen": worker_frozen,
    "worker lost": worker_frozen,
    "worker joins": worker_joins,
    "worker leaves": worker_leaves,
    "worker clock forward": partial(worker_clock, signal.SIGUSR1),
    "worker clock back": partial(worker_clock, signal.SIGUSR2),
    "triton killed": partial(server_killed, "triton"),
    "triton frozen": partial(server_frozen, "triton"),
    "triton lost": partial(server_frozen, "triton"),
    "stub killed": stub_killed,
    "stub frozen": stub_frozen,
    "kafka killed": partial(server_killed, "kafka"),
    "kafka frozen": partial(server_frozen, "kafka"),
    "kafka lost": partial(server_frozen, "kafka"),
    "store away": partial(proxied, _store, "away"),
    "store slow": partial(proxied, _store, "slow"),
    "store half-open": partial(proxied, _store, "half-open"),
    "store answers 503": partial(proxied, _store, "answers 503"),
    "source away": partial(proxied, _source, "away"),
    "source slow": partial(proxied, _source, "slow"),
    "source half-open": partial(proxied, _source, "half-open"),
    "source answers 503": partial(proxied, _source, "answers 503"),
    "disk full": disk_full,
    "topics grow": topics_grow,
}
