"""The images work as an ordinary user, on a read-only root and without capabilities."""

from __future__ import annotations

import http.client
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import skimage
from PIL import Image

from cutstream.clock import SystemClock
from cutstream.settings import ObjectSettings, Settings, WorkerSettings, as_environment
from producer.gateway.keys import create_key
from tests.support.containers import BUILT, USER, Container, build, call, container, why_no_containers
from tests.support.ports import free_ports

pytestmark = [pytest.mark.images, pytest.mark.e2e]

PHOTO = Path(skimage.__file__).parent / "data" / "astronaut.png"
MOST_BYTES = 600_000_000


@pytest.fixture(scope="module")
def tag(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    if reason := why_no_containers():
        pytest.skip(reason)
    wanted: str = pytestconfig.getoption("--images")
    if wanted == BUILT:
        build(["worker", "gateway", "triton-cpu"], tmp_path_factory.mktemp("build"))
    return wanted


def wait_until(condition: Callable[[], bool], service: Container, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, service.tail()
        time.sleep(0.5)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume for uploads and outputs, and the folders above it, which the containers' user may pass through."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


@pytest.mark.timeout(1800)  # it builds
@pytest.mark.kafka
@pytest.mark.triton
def test_worker_and_gateway_serve_a_photo(
    tag: str, kafka_settings: object, triton: Settings, data: Path, tmp_path: Path
) -> None:
    health, entrance = free_ports(2)
    state = tmp_path / "state"
    state.mkdir()
    key = create_key(state / "keys.toml", "test", SystemClock())
    for path in (state, state / "keys.toml"):
        os.chown(path, USER, USER)
    settings = triton.model_copy(
        update={
            "kafka": kafka_settings,
            "objects": ObjectSettings(destination="file:///data/out", file_roots=(Path("/data"),)),
            "worker": WorkerSettings(memory_bytes=1_000_000_000, drain_timeout_s=15, port=health),
        }
    )
    kept = ("KAFKA__", "TRITON__", "OBJECTS__", "WORKER__", "MODELS__PROFILES", "MODELS__DEFAULT_PROFILE")
    environment = {
        name: value
        for name, value in as_environment(settings).items()
        if name.removeprefix("CUTSTREAM_").startswith(kept)
    } | {
        "CUTSTREAM_GATEWAY__KEYS": "/state/keys.toml",
        "CUTSTREAM_GATEWAY__PORT": str(entrance),
        "CUTSTREAM_GATEWAY__HOST": "127.0.0.1",
        "CUTSTREAM_GATEWAY__STATE": "/state/gateway",
        "CUTSTREAM_GATEWAY__UPLOADS": "/data/uploads",
        "CUTSTREAM_WORKER__HOST": "127.0.0.1",
        "CUTSTREAM_PAGE__ENABLED": "false",
    }
    worker_image, gateway_image = (f"localhost/cutstream-{name}:{tag}" for name in ("worker", "gateway"))
    with (
        container(worker_image, tmp_path / "worker.log", (), environment, [f"{data}:/data"]) as worker,
        container(
            gateway_image, tmp_path / "gateway.log", (), environment, [f"{data}:/data", f"{state}:/state"]
        ) as gateway,
    ):
        wait_until(lambda: is_ready(health), worker)
        wait_until(lambda: is_ready(entrance), gateway)
        assert worker.health()
        assert gateway.health()
        with PHOTO.open("rb") as photo:
            address = f"http://127.0.0.1:{entrance}/v1.0/removebg"
            answer = httpx.post(address, files={"image_file": photo}, headers={"X-Api-Key": key}, timeout=60)
        assert answer.status_code == 200, f"{answer.text}\n{gateway.tail()}\n{worker.tail()}"
        alpha = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))[..., 3]
        assert alpha.shape == (500, 500)  # remove.bg's preview of 512 × 512 has a quarter of a megapixel
        assert 0.2 < (alpha > 127).mean() < 0.8
        service, *children = json.loads(worker.run("python", "-I", "-c", _PROCESSES))
        assert service["Uid"].split() == [str(USER)] * 4
        assert {service[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
        assert (service["NoNewPrivs"], service["Seccomp"]) == ("1", "2")
        filters = [int(child["Seccomp_filters"]) for child in children]
        assert max(filters) > int(service["Seccomp_filters"])  # those of decoders, on top of the runtime's profile
    assert "decoders can reach" not in (tmp_path / "worker.log").read_text()
    assert "worker stopped" in (tmp_path / "worker.log").read_text()  # it drained on SIGTERM


@pytest.mark.timeout(1800)
def test_triton_serves_what_it_has_rendered(tag: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    os.chown(models, USER, USER)
    image = f"localhost/cutstream-triton-cpu:{tag}"
    alone = ("--network", "none")
    render = (*alone, "--entrypoint", "cutstream")
    volume = f"{models}:/models"
    with container(image, tmp_path / "render.log", ("models", "render"), {}, [volume], render) as rendering:
        repository = models / "triton" / "repository"
        wait_until((repository / "cutout_fast" / "config.pbtxt").is_file, rendering)
    memory = (*alone, "--shm-size", "1g")
    with container(image, tmp_path / "triton.log", (), {}, [f"{volume}:ro"], memory) as triton:
        wait_until(triton.health, triton, timeout_s=90)
        shape, largest, listed = json.loads(triton.run("python", "-I", "-c", _MATTE).splitlines()[-1])
        assert shape == [1, 320, 320]
        assert largest > 200
        assert listed >= 400  # nobody may list, load or unload models


@pytest.mark.timeout(1800)
def test_the_workers_image_is_small_and_holds_no_tools(tag: str) -> None:
    image = f"localhost/cutstream-worker:{tag}"
    inspected = json.loads(call("podman", "image", "inspect", image).stdout)[0]
    assert inspected["Size"] < MOST_BYTES
    assert inspected["Config"]["User"] == f"{USER}:{USER}"
    assert inspected["Healthcheck"]["Test"][0] == "CMD"
    assert inspected["Config"]["Labels"]["org.opencontainers.image.revision"] != "unknown" or tag != BUILT
    programs = set(call(*_ALONE, image, "-I", "-c", _PROGRAMS).stdout.split())
    assert "cutstream" in programs
    assert not programs & {"sh", "bash", "apt", "dpkg", "pip", "uv", "perl", "curl", "wget"}
    packages, system = json.loads(call(*_ALONE, image, "-I", "-c", _BILLS).stdout)
    assert {"numpy", "kafka-python"} <= set(packages)
    assert {"python", "libc6"} <= set(system)


_LIMITS = ["--cgroups", "disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
_ALONE = ["podman", "run", "--rm", *_LIMITS, "--network", "none", "--entrypoint", "python"]
_PROGRAMS = """
import os
folders = {os.path.realpath(folder) for folder in [*os.get_exec_path(), "/bin", "/sbin"]}
print(*(name for folder in folders for name in os.listdir(folder)))
"""
_BILLS = """
import json
names = ("python", "system")
bills = [json.load(open(f"/usr/share/sbom/{name}.cdx.json")) for name in names]
print(json.dumps([[part["name"] for part in bill["components"]] for bill in bills]))
"""
_PROCESSES = """
import json, pathlib
texts = [pathlib.Path(f"/proc/{number}/status").read_text() for number in
         sorted(int(folder.name) for folder in pathlib.Path("/proc").glob("[0-9]*"))]
print(json.dumps([dict(line.split(":\\t", 1) for line in text.splitlines() if ":\\t" in line) for text in texts]))
"""
_MATTE = """
import importlib.resources, json, urllib.error, urllib.request
import numpy as np
from PIL import Image
from cutstream.clients.triton import Triton
from cutstream.settings import TritonSettings

triton = Triton(TritonSettings(url="127.0.0.1:8001"))
with Image.open(importlib.resources.files("skimage") / "data" / "astronaut.png") as photo:
    pixels = np.asarray(photo.convert("RGB").resize((320, 320)))
matte = triton.infer(triton.ensemble("fast"), pixels[None])
request = urllib.request.Request("http://127.0.0.1:8000/v2/repository/index", method="POST")
try:
    status = urllib.request.urlopen(request).status
except urllib.error.HTTPError as exc:
    status = exc.code
print(json.dumps([matte.shape, int(matte.max()), status]))
"""
