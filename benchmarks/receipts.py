"""Measure what the receipts cost: `python -m benchmarks.receipts`.

Two embedded Tritons serve the same profile, one with receipts and one without. They take turns in short slices, because
the speed of a shared machine drifts by more than the difference to be measured. The client with receipts adds up and
compares every image and matte, as the worker does.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray

from benchmarks.machine import Meter, record
from cutstream.clients.triton import Triton
from cutstream.profiles import ensemble_name
from cutstream.settings import Settings, load
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from export.formats.served_graph import build_graph
from export.profiles import networks_of, size_of
from export.repository.render import render
from export.weights.catalogue import network_for
from export.weights.store import ensure_weights

CALLS, BATCH = 4, 8  # calls in flight, and images in each, as of a busy worker
SLICE_S = 3.0

Ask: TypeAlias = Callable[[NDArray[np.uint8]], object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--profile", default="fast", help="a profile whose only step is a network")
    arguments.add_argument("--turns", type=int, default=12)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder, Supervisor(60) as supervisor:
        settings = [_settings(Path(folder) / name, chosen.profile, shift) for name, shift in (("with", 0), ("no", 10))]
        for one in settings:
            render(one)
        _remove_receipts(settings[1], chosen.profile)
        clients = []
        for one in settings:
            server = triton_server(one)
            supervisor.start(server)
            clients.append(_client(one, chosen.profile, receipts=one is settings[0]))
        height, width = size_of(networks_of([chosen.profile])[0])
        images = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), np.uint8)
        measured = [[_slice(ask, images) for ask in clients] for _ in range(chosen.turns + 1)][1:]
    rates = np.array([[rate for rate, _ in turn] for turn in measured])
    costs = np.array([[cost for _, cost in turn] for turn in measured])
    record(
        "receipts",
        profile=chosen.profile,
        turns=chosen.turns,
        images_per_second=dict(zip(("with", "without"), np.median(rates, axis=0).round(1).tolist(), strict=True)),
        cpu_ms_per_image=dict(zip(("with", "without"), np.median(costs, axis=0).round(3).tolist(), strict=True)),
        rate_ratio=_ratio(rates),
        cpu_ratio=_ratio(costs),
    )


def _ratio(pairs: NDArray[np.float64]) -> dict[str, float]:
    """Return the median of the turns' ratios, with receipts to without, and the quartiles around it."""
    low, median, high = np.percentile(pairs[:, 0] / pairs[:, 1], [25, 50, 75]).round(4).tolist()
    return {"median": median, "from": low, "to": high}


def _settings(state: Path, profile: str, shift: int) -> Settings:
    settings = load()
    stack = settings.stack
    ports = {name: getattr(stack, name) + shift for name in ("triton_grpc_port", "triton_metrics_port")}
    models = settings.models.model_copy(update={"profiles": (profile,), "default_profile": profile})
    url = f"127.0.0.1:{ports['triton_grpc_port']}"
    return settings.model_copy(
        update={
            "models": models,
            "stack": stack.model_copy(update={"state": state, **ports}),
            "triton": settings.triton.model_copy(update={"url": url}),
        }
    )


def _remove_receipts(settings: Settings, profile: str) -> None:
    """Serve the same networks without the output `receipt`."""
    served = settings.stack.model_repository
    for step in networks_of([profile]):
        model = network_for(step, settings.models)
        graph = build_graph(model, ensure_weights(model, settings.models), *size_of(step))
        (served / step / "1" / "model.onnx").write_bytes(graph.SerializeToString())
    for config in served.glob("*/config.pbtxt"):
        lines = [line for line in config.read_text().splitlines() if "receipt" not in line]
        config.write_text(re.sub(r"\},?( *#.*)?\n\]\n(?=ensemble|dynamic|#)", "}\n]\n", "\n".join(lines)))


def _client(settings: Settings, profile: str, receipts: bool) -> Ask:
    if receipts:
        triton = Triton(settings.triton)
        ensemble = triton.ensemble(profile)
        return lambda images: triton.infer(ensemble, images)
    client = grpc.InferenceServerClient(settings.triton.url)
    matte = [grpc.InferRequestedOutput("matte")]

    def ask(images: NDArray[np.uint8]) -> object:
        tensor = grpc.InferInput("image", list(images.shape), "UINT8").set_data_from_numpy(images)
        return client.infer(ensemble_name(profile), [tensor], outputs=matte).as_numpy("matte")

    return ask


def _slice(ask: Ask, images: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the images per second of one slice, and the CPU milliseconds per image of client and servers."""
    until = time.perf_counter() + SLICE_S

    def work(_: int) -> int:
        count = 0
        while time.perf_counter() < until:
            ask(images)
            count += len(images)
        return count

    meter = Meter()
    with ThreadPoolExecutor(CALLS) as threads:
        done = sum(threads.map(work, range(CALLS)))
    spent = meter.read()
    return done / spent.wall_s, 1000 * spent.cpu_s / done


if __name__ == "__main__":
    main()
