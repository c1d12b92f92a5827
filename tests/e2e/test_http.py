"""Clients of remove.bg and of rembg, unchanged but for the address, on the real stack."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import removebg.removebg
from PIL import Image

from cutstream.settings import Settings
from tests.support.gateways import GatewayProcess, NoNodeClient, gateway_process, node_client, with_gateway
from tests.support.http_server import HttpServer, serving
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]


@pytest.fixture
def stack(settings: Settings, tmp_path: Path) -> Iterator[GatewayProcess]:
    objects = settings.objects.model_copy(update={"allow_private_addresses": True, "allowed_hosts": ("127.0.0.1",)})
    complete = with_gateway(settings.model_copy(update={"objects": objects}), tmp_path)
    with workers(complete, tmp_path), gateway_process(complete, tmp_path) as gateway:
        yield gateway


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    import skimage

    path = tmp_path / "photo.jpg"
    Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").save(path, quality=92)
    return path


@pytest.fixture
def source(photo: Path) -> Iterator[str]:
    """The photo's address on a server of this machine."""
    with serving(HttpServer()) as server:
        server.files["photo.jpg"] = photo.read_bytes()
        yield server.url("files/photo.jpg")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_clients_of_other_services_work_with_another_address(
    stack: GatewayProcess, photo: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig
) -> None:
    # remove.bg's client for Python
    monkeypatch.setattr(removebg.removebg, "API_ENDPOINT", f"{stack.address}/v1.0/removebg")
    client = removebg.removebg.RemoveBg("any key", str(tmp_path / "errors.log"))
    client.remove_background_from_img_file(str(photo), size="4k")
    cutout = opened(Path(f"{photo}_no_bg.png").read_bytes())
    assert (cutout.mode, cutout.size) == ("RGBA", (512, 512))
    client.remove_background_from_img_url(source, new_file_name=str(tmp_path / "url.png"), bg_color="81d4fa")
    assert opened((tmp_path / "url.png").read_bytes()).mode == "RGB"
    encoded = base64.b64encode(photo.read_bytes()).decode()
    client.remove_background_from_base64_img(encoded, new_file_name=str(tmp_path / "b64.png"))
    small = opened((tmp_path / "b64.png").read_bytes())
    assert small.size[0] * small.size[1] <= 250_000

    # rembg's calls, as its README has them
    answer = httpx.get(f"{stack.address}/api/remove", params={"url": source, "om": "true"}, timeout=60)
    assert (answer.status_code, opened(answer.content).mode) == (200, "L")
    with photo.open("rb") as file:
        answer = httpx.post(f"{stack.address}/api/remove", files={"file": file}, data={"a": "true"}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert opened(answer.content).mode == "RGBA"

    # what cannot succeed
    answer = httpx.post(f"{stack.address}/v1.0/removebg", files={"image_file": b"no photo"}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "invalid_file_type"
    answer = httpx.post(f"{stack.address}/v1.0/removebg", data={"image_url": f"{source}x"}, timeout=60)
    assert answer.json()["errors"][0]["code"] == "failed_image_download"


def test_the_client_for_node_works_with_another_address(
    stack: GatewayProcess, photo: Path, source: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    try:
        package = node_client(pytestconfig.rootpath / ".state" / "tools" / "node")
    except NoNodeClient as exc:
        pytest.skip(f"npm's remove.bg: {exc}")
    program = f"""
    const fs = require('fs'), path = require('path');
    const main = path.join({json.dumps(str(package))}, 'dist', 'index.js');
    const text = fs.readFileSync(main, 'utf8').replace('https://api.remove.bg', {json.dumps(stack.address)});
    const copy = path.join(path.dirname(main), 'other-address.js');
    fs.writeFileSync(copy, text);
    const client = require(copy), apiKey = 'any key', out = {json.dumps(str(tmp_path))};
    (async () => {{
      const file = await client.removeBackgroundFromImageFile(
        {{path: {json.dumps(str(photo))}, apiKey, size: 'full', crop: true, outputFile: out + '/file.png'}});
      const url = await client.removeBackgroundFromImageUrl({{url: {json.dumps(source)}, apiKey, bg_color: 'fff'}});
      const base64img = fs.readFileSync({json.dumps(str(photo))}).toString('base64');
      const b64 = await client.removeBackgroundFromImageBase64({{base64img, apiKey, size: 'auto'}});
      const failed = await client.removeBackgroundFromImageUrl({{url: 'nothing', apiKey}}).catch(errors => errors);
      console.log(JSON.stringify({{width: file.resultWidth, url: url.base64img, b64: b64.resultHeight, failed}}));
    }})();
    """
    found = subprocess.run(["node", "-e", program], capture_output=True, text=True, timeout=90)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert opened((tmp_path / "file.png").read_bytes()).mode == "RGBA"
    assert int(told["width"]) <= 512
    assert opened(base64.b64decode(told["url"])).mode == "RGB"
    assert told["b64"] == "512"
    assert told["failed"][0]["code"] == "invalid_image_url"


def test_a_photo_over_http_is_the_same_bytes_as_over_kafka(stack: GatewayProcess, photo: Path, folder: Path) -> None:
    over_http = stack.client.post("/api/remove", files={"file": photo.read_bytes()})
    assert over_http.status_code == 200, over_http.text
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    kafka = stack.settings.kafka
    with Results(kafka) as results:
        submit(kafka, [{"id": "kafka", "image": (folder / "photo.jpg").as_uri(), "format": "png"}])
        found = {result.id: result for result in results.wait_for(2, 60)}
    assert found["kafka"].objects[0].sha256 == sha256(over_http.content).hexdigest()
