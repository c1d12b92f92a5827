"""A server that is frozen, killed or reloaded under load: every photo gets its own matte in the end, and none fails."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc

from consumer.jobs import Decoded
from consumer.resources.latency import LatencyEstimator
from consumer.resources.profile_selector import ProfileSelector
from consumer.stages.segment import Segment
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Triton
from cutstream.clock import SystemClock
from cutstream.errors import Retryable, TritonUnavailable
from cutstream.images import Image
from cutstream.metrics import Metrics
from cutstream.settings import Settings, StackSettings, TritonSettings
from deploy.local.process import ServerSpec, Supervisor
from deploy.local.triton import triton_server
from export.formats.receipt import add_receipt
from export.glue.join import join
from export.repository.render import render
from export.weights.catalogue import find_model
from export.weights.store import ensure_weights
from tests.support.jobs import job_of
from tests.support.models import picture_with_blob, small_models
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

PHOTOS = [picture_with_blob((60 + 6 * n, 100 + 4 * n), 20 + 2 * n) for n in range(32)]
THREADS = 16
STUB, SERVER = "triton_python", "tritonserver"
Matte = tuple[int, str, str]  # the photo's number, the digest of the model that a result would name, and the matte's


class Worker:
    """The worker's segment stage. A photo that must wait is tried again, as in the worker."""

    def __init__(self, settings: TritonSettings) -> None:
        self.triton, metrics, clock = Triton(settings), Metrics(), SystemClock()
        latency = LatencyEstimator(self.triton, clock)
        selector = ProfileSelector(small_settings(Path()).models, latency, metrics, clock)
        self._segment = Segment(self.triton, selector, latency, CpuOps(), metrics, settings)
        self.waited: list[Retryable] = []
        self._stop = threading.Event()

    def cut_out(self, number: int) -> Matte:
        while not self._stop.is_set():
            try:
                result = self._segment(job_of(profile="general"), Decoded(Image(PHOTOS[number])))
                ensemble = result.segmentation.model
                assert result.matte.shape == (ensemble.height, ensemble.width)
                return number, ensemble.digest, hashlib.sha256(result.matte.tobytes()).hexdigest()
            except Retryable as exc:
                self.waited.append(exc)
                time.sleep(0.1)
        raise AssertionError(f"photo {number} still waits: {self.waited[-1]}")

    @contextmanager
    def busy(self) -> Iterator[list[Matte]]:
        """Cut out random photos on many threads. The list grows; an error of a photo is raised at the end."""
        done: list[Matte] = []
        finished = threading.Event()

        def work(seed: int) -> None:
            numbers = random.Random(seed)
            while not finished.is_set():
                done.append(self.cut_out(numbers.randrange(len(PHOTOS))))

        with ThreadPoolExecutor(THREADS) as threads:
            futures = [threads.submit(work, seed) for seed in range(THREADS)]
            try:
                yield done
            except BaseException:
                self._stop.set()
                raise
            finally:
                finished.set()
        for future in futures:
            future.result()


def small_settings(folder: Path, **ports: int) -> Settings:
    rpc = ports.get("triton_grpc_port", 1)
    models = small_models(folder / "models").model_copy(update={"engine": "onnxruntime"}) if ports else None
    return Settings(
        **({"models": models} if models else {}),
        triton=TritonSettings(url=f"127.0.0.1:{rpc}", describe_age_s=3600),
        stack=StackSettings(state=folder / "state", private=False, **ports),
    )


def processes(supervisor: Supervisor, *names: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(supervisor.pid("triton")).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if process.name().startswith(names):
                found.append(process)
    return found


def reloadable(server: ServerSpec) -> ServerSpec:
    """Let its models be changed, as in a Triton of one's own; nobody may change those of the local stack."""
    command = [option for option in server.command if not option.startswith("--grpc-restricted-protocol")]
    command[command.index("--model-control-mode=none")] = "--model-control-mode=explicit"
    return dataclasses.replace(server, command=[*command, "--load-model=cutout_general"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Supervisor, Worker]]:
    ports = free_stack_ports()
    settings = small_settings(tmp_path_factory.mktemp("faults"), **ports)
    render(settings)
    with Supervisor(60) as supervisor:
        supervisor.start(reloadable(triton_server(settings)))
        worker = Worker(settings.triton)
        yield settings, supervisor, worker
        worker.triton.close()


def freeze(*names: str, seconds: float) -> Callable[[Supervisor], None]:
    def fault(supervisor: Supervisor) -> None:
        frozen = processes(supervisor, *names)
        assert len(frozen) == len(names)
        for process in frozen:
            process.suspend()
        time.sleep(seconds)
        for process in frozen:
            with suppress(psutil.NoSuchProcess):  # the watchdog ends a server whose backend is frozen
                process.resume()

    return fault


def kill(name: str) -> Callable[[Supervisor], None]:
    def fault(supervisor: Supervisor) -> None:
        for process in processes(supervisor, name):
            process.send_signal(signal.SIGKILL)

    return fault


def wait_for(condition: Callable[[], bool], supervisor: Supervisor, seconds: float = 60.0) -> None:
    """Wait, and start the server again whenever it has ended."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        if supervisor.dead():
            supervisor.restart("triton")
        time.sleep(0.05)


def test_every_photo_gets_its_own_matte_whatever_happens_to_the_server(served) -> None:
    settings, supervisor, worker = served
    quiet = {worker.cut_out(number) for number in range(len(PHOTOS))}
    assert len({matte for _, _, matte in quiet}) == len(PHOTOS)
    faults = {
        freeze(SERVER, seconds=2): None,
        freeze(STUB, seconds=2): "stood still",
        freeze(SERVER, STUB, seconds=5): "stood still",
        kill(STUB): "has died",
        kill(SERVER): "",
    }
    with worker.busy() as done:
        for fault, words in faults.items():
            before = processes(supervisor, SERVER)
            reached = len(done) + 2 * len(PHOTOS)
            wait_for(lambda reached=reached: len(done) >= reached, supervisor)
            fault(supervisor)
            if words is not None:
                wait_for(lambda before=before: processes(supervisor, SERVER) not in ([], before), supervisor)
                log = settings.stack.state / "logs" / "triton.log.1"
                assert f"fatal: a backend's process {words}" in log.read_text() or not words
            reached = len(done) + 2 * len(PHOTOS)
            wait_for(lambda reached=reached: len(done) >= reached, supervisor)
            assert (processes(supervisor, SERVER) == before) == (words is None)
    assert set(done) == quiet
    assert worker.waited
    log = (settings.stack.state / "logs" / "triton.log").read_text()
    assert "Traceback" not in log


def test_calls_to_a_frozen_server_time_out(served) -> None:
    """Even when their images fill the connection, so that gRPC alone would wait for the server for ever."""
    settings, supervisor, _ = served
    triton = Triton(settings.triton.model_copy(update={"timeout_s": 1.0}))
    ensemble, images = triton.ensemble("general"), np.stack(PHOTOS[:8])
    frozen = processes(supervisor, SERVER)
    for process in frozen:
        process.suspend()
    try:
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(triton.infer, ensemble, images) for _ in range(8)]
            errors = [call.exception(timeout=60) for call in calls]
    finally:
        for process in frozen:
            process.resume()
    assert {type(error) for error in errors} == {TritonUnavailable}
    assert triton.infer(triton.ensemble("general"), images).shape == (8, 320, 320)
    triton.close()


def shrink(settings: Settings, digest: str) -> None:
    """Serve the network at half the size, with another digest, in the same files."""
    served, models = settings.stack.model_repository, settings.models
    model = find_model("u2netp", models)
    graph = add_receipt(join(model, ensure_weights(model, models), 160, 160), digest)
    (served / "u2netp" / "1" / "model.onnx").write_bytes(graph.SerializeToString())
    for name in ("u2netp", "cutout_general"):
        config = served / name / "config.pbtxt"
        text = config.read_text().replace(" 320, 320", " 160, 160")
        config.write_text(re.sub(r"[0-9a-f]{64}", digest, text))


def test_a_model_of_another_size_is_reloaded_while_photos_are_cut_out(served) -> None:
    settings, supervisor, worker = served
    before = {worker.cut_out(number) for number in range(len(PHOTOS))}
    shrink(settings, "ab" * 32)
    client = grpc.InferenceServerClient(settings.triton.url)
    with worker.busy() as done:
        wait_for(lambda: len(done) >= 64, supervisor)
        client.load_model("cutout_general")
        reached = len(done) + 64
        wait_for(lambda: len(done) >= reached, supervisor)
    client.close()
    assert worker.triton.ensemble("general").width == 160
    after = {worker.cut_out(number) for number in range(len(PHOTOS))}
    assert {digest for _, digest, _ in after} == {"ab" * 32}
    assert set(done) <= before | after
    assert set(done) & before
    assert set(done) & after
