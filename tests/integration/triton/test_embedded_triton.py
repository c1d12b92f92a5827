"""The real server with the product's repository and a small network: both engines, batches, bad input, a clean end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from cutstream.clients.triton import Triton
from cutstream.errors import StackError
from cutstream.settings import Settings
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from export.formats.parity import load_served
from export.repository.render import render
from export.weights.catalogue import find_model
from export.weights.store import ensure_weights
from tests.support.models import disc_of, picture_with_blob
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

PICTURES = np.stack([picture_with_blob((60 + 20 * n, 100 + 15 * n), 25 + 5 * n) for n in range(8)])


@contextmanager
def another_server(settings: Settings, folder: Path, **models: object) -> Iterator[tuple[Settings, Supervisor]]:
    """Start a second server with the same weights and with its own state and ports."""
    ports = free_stack_ports()
    changed = settings.model_copy(
        update={
            "models": settings.models.model_copy(update=models),
            "stack": settings.stack.model_copy(update={"state": folder, **ports}),
            "triton": settings.triton.model_copy(update={"url": f"127.0.0.1:{ports['triton_grpc_port']}"}),
        }
    )
    render(changed)
    with Supervisor(60) as supervisor:
        supervisor.start(triton_server(changed))
        yield changed, supervisor


@contextmanager
def connected(settings: Settings) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    client = Triton(settings.triton)
    ensemble = client.ensemble("general")
    try:
        yield lambda pictures: client.infer(ensemble, pictures)
    finally:
        client.close()


def executions(settings: Settings) -> tuple[int, int]:
    """Return the number of images and of engine calls of the network so far."""
    client = grpc.InferenceServerClient(settings.triton.url)
    try:
        (statistics,) = client.get_inference_statistics("u2netp").model_stats
        return statistics.inference_count, statistics.execution_count
    finally:
        client.close()


@pytest.fixture(scope="module")
def expected(triton: Settings) -> np.ndarray:
    model = find_model("u2netp", triton.models)
    cut = load_served(model, ensure_weights(model, triton.models))
    return np.stack([cut(picture) for picture in PICTURES])


def test_the_ensemble_finds_the_subject(triton: Settings) -> None:
    with connected(triton) as infer:
        (matte,) = infer(PICTURES[3:4])
    disc = disc_of((120, 145), 40)
    assert ((matte >= 128) & disc).sum() / ((matte >= 128) | disc).sum() > 0.95


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_keeps_its_order(triton: Settings, expected: np.ndarray, count: int) -> None:
    with connected(triton) as infer:
        mattes = infer(PICTURES[:count])
    assert np.abs(mattes.astype(int) - expected[:count]).mean(axis=(1, 2)).max() < 3


def test_requests_of_several_clients_share_engine_calls(triton: Settings, expected: np.ndarray) -> None:
    before = executions(triton)
    answers: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        with connected(triton) as infer:
            for _ in range(4):
                answers[number] = infer(PICTURES[number : number + 1])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pictures, calls = np.subtract(executions(triton), before)
    assert pictures == 32
    assert calls < pictures
    assert all(np.abs(matte.astype(int) - expected[number]).mean() < 3 for number, matte in answers.items())


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 200, 320, 3), "UINT8"), ((9, 320, 320, 3), "UINT8"), ((1, 320, 320, 3), "FP32")]
)
def test_a_wrong_tensor_is_refused_and_the_server_lives_on(triton: Settings, shape: tuple[int, ...], kind: str) -> None:
    client = grpc.InferenceServerClient(triton.triton.url)
    data = np.zeros(shape, {"UINT8": np.uint8, "FP32": np.float32}[kind])
    try:
        with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT"):
            client.infer("cutout_general", [grpc.InferInput("image", list(shape), kind).set_data_from_numpy(data)])
        assert client.is_server_live()
    finally:
        client.close()
    with connected(triton) as infer:
        assert infer(PICTURES[:1]).shape == (1, 320, 320)


def test_the_ensemble_says_which_network_it_serves(triton: Settings) -> None:
    client = Triton(triton.triton)
    try:
        ensemble = client.ensemble("general")
    finally:
        client.close()
    assert (ensemble.width, ensemble.height, ensemble.max_batch) == (320, 320, 8)
    assert len(bytes.fromhex(ensemble.digest)) == 32


def test_both_engines_give_the_same_mattes(triton: Settings, expected: np.ndarray, tmp_path: Path) -> None:
    with (
        another_server(triton, tmp_path / "onnxruntime", engine="onnxruntime") as (settings, _),
        connected(settings) as infer,
    ):
        assert np.abs(infer(PICTURES).astype(int) - expected).max() <= 1
    with (
        another_server(triton, tmp_path / "openvino", engine="openvino", precision="fp32", instances=2) as (
            settings,
            _,
        ),
        connected(settings) as infer,
    ):
        assert np.abs(infer(PICTURES).astype(int) - expected).max() <= 2
    log = (settings.stack.state / "logs" / "triton.log").read_text()
    assert "u2netp runs in fp32: it is set by CUTSTREAM_MODELS__PRECISION" in log


def test_a_network_that_the_engine_cannot_read_ends_the_start_with_its_name(triton: Settings, tmp_path: Path) -> None:
    settings = triton.model_copy(update={"stack": triton.stack.model_copy(update={"state": tmp_path})})
    (render(settings) / "u2netp" / "1" / "model.onnx").write_bytes(b"damaged")
    ports = free_stack_ports()
    settings = settings.model_copy(update={"stack": settings.stack.model_copy(update=ports)})
    with Supervisor(60) as supervisor, pytest.raises(StackError, match="u2netp"):
        supervisor.start(triton_server(settings))


def test_stops_without_orphans(triton: Settings, tmp_path: Path) -> None:
    with another_server(triton, tmp_path) as (_, supervisor):
        family = psutil.Process(supervisor.pid("triton")).children(recursive=True)
        (stub,) = [process for process in family if process.name().startswith("triton_python")]
        (memory,) = [Path("/dev/shm") / word for word in stub.cmdline() if "_shm_region_" in word]
        assert memory.exists()
    assert not [process for process in family if process.is_running()]
    assert not memory.exists()


def test_the_log_tells_of_no_error(triton: Settings, tmp_path: Path) -> None:
    with another_server(triton, tmp_path) as (settings, _), connected(settings) as infer:
        infer(PICTURES)
    log = (settings.stack.state / "logs" / "triton.log").read_text()
    assert "Traceback" not in log
    errors = [line for line in log.splitlines() if "Error" in line or line.startswith("E")]
    # Built for GPUs, the server says that there is none.
    assert not [line for line in errors if "cuda" not in line.lower()]
