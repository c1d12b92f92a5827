"""The default profile, with the weights that ship, on real photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage
from PIL import Image

from cutstream.clients.triton import Ensemble, Triton
from cutstream.settings import ModelSettings, Settings, StackSettings, TritonSettings
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from export.profiles import network_file
from export.repository.render import render
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

DATA = Path(skimage.__file__).parent / "data"
# A region that is certainly subject and one that is certainly background: left, top, right, bottom in 0..1.
CERTAIN = {
    "astronaut.png": ((0.35, 0.1, 0.5, 0.9), (0.92, 0.02, 0.99, 0.3)),
    "chelsea.png": ((0.3, 0.3, 0.65, 0.7), (0.0, 0.0, 0.05, 0.3)),
    "coffee.png": ((0.35, 0.3, 0.55, 0.6), (0.0, 0.0, 0.15, 0.15)),
    "rocket.jpg": ((0.49, 0.3, 0.51, 0.6), (0.0, 0.0, 0.2, 0.2)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Triton, Ensemble]]:
    folder = tmp_path_factory.mktemp("fast")
    ports = free_stack_ports()
    settings = Settings(
        models=ModelSettings(store=folder / "empty"),
        triton=TritonSettings(url=f"127.0.0.1:{ports['triton_grpc_port']}"),
        stack=StackSettings(state=folder, private=False, **ports),
    )
    render(settings)
    with Supervisor(60) as supervisor:
        supervisor.start(triton_server(settings))
        client = Triton(settings.triton)
        yield client, client.ensemble("fast")
        client.close()


def picture(name: str, ensemble: Ensemble) -> np.ndarray:
    with Image.open(DATA / name) as photo:
        return np.asarray(photo.convert("RGB").resize((ensemble.width, ensemble.height), Image.Resampling.BOX))


def part(matte: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    left, top, right, bottom = (round(share * len(matte)) for share in box)
    return matte[top:bottom, left:right]


@pytest.mark.parametrize("name", CERTAIN)
def test_finds_what_people_would(served: tuple[Triton, Ensemble], name: str) -> None:
    client, ensemble = served
    (matte,) = client.infer(ensemble, picture(name, ensemble)[None])
    subject, background = CERTAIN[name]
    assert part(matte, subject).mean() > 230
    assert part(matte, background).mean() < 25


def test_the_served_network_is_the_file_in_git(served: tuple[Triton, Ensemble]) -> None:
    client, ensemble = served
    pictures = np.stack([picture(name, ensemble) for name in CERTAIN])
    session = onnxruntime.InferenceSession(network_file("cutnet"), providers=["CPUExecutionProvider"])
    (exact,) = session.run(["matte"], {"image": pictures})
    mattes = client.infer(ensemble, pictures)
    # The local server may run in bf16, if the mattes agree well enough.
    assert np.abs(mattes.astype(int) - exact).mean() < 3
    both, either = ((mattes >= 128) & (exact >= 128)).sum(), ((mattes >= 128) | (exact >= 128)).sum()
    assert both / either > 0.96
