"""The Python client on the real stack: over Kafka and over HTTP, with equal bytes; and on the local stack's inbox."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cutstream import AsyncClient, Client, PhotoFailed
from cutstream.client.over_kafka import KafkaTransport
from cutstream.settings import Settings, StackSettings, as_environment
from deploy.local.allowed import noted
from deploy.local.inbox import with_inbox
from tests.e2e.conftest import DATA
from tests.support.examples import examples
from tests.support.gateways import gateway_process, with_gateway
from tests.support.workers import workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

OPTIONS = {"outputs": ["cutout", "mask", "composite"], "background": "#ff0000", "crop": True}
NAMES = ["cutout", "mask", "composite"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo in a folder that no worker may read."""
    path = tmp_path / "mine" / "astronaut.jpg"
    path.parent.mkdir()
    Image.open(DATA / "astronaut.png").convert("RGB").save(path, quality=92)
    return path


def run_the_page_s_first_example(settings: Settings, photo: Path, tmp_path: Path) -> None:
    """Run it as it is shown, in another process: `Client()` finds the local stack by the settings alone."""
    port = int(settings.kafka.bootstrap_servers.rpartition(":")[2])
    local = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": ""}),
            "stack": settings.stack.model_copy(update={"kafka_port": port, "private": False}),
        }
    )
    folder = tmp_path / "page"
    (folder / "photos").mkdir(parents=True)
    shutil.copy(photo, folder / "photos" / "shoe.jpg")
    done = subprocess.run(
        [sys.executable, "-c", examples()["client"]],
        cwd=folder,
        env={**os.environ, **as_environment(local)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with Image.open(folder / "shoe-on-white.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))


def test_the_same_calls_by_all_ways_give_the_same_bytes(settings: Settings, photo: Path, tmp_path: Path) -> None:
    """The local stack is put together by hand: its worker has an inbox and a note, its Kafka is that of the tests."""
    state = StackSettings(state=tmp_path / "state")
    complete = with_gateway(with_inbox(settings.model_copy(update={"stack": state})), tmp_path)
    found: dict[str, list[bytes]] = {}

    def cut(way: str, client: Client, source: Path | bytes | str) -> None:
        result = client.cut(source, **OPTIONS)  # type: ignore[arg-type]
        found[way] = [result.read(name) for name in NAMES]

    with (
        noted(complete.objects, state),
        workers(complete, tmp_path),
        gateway_process(complete, tmp_path) as gateway,
        Client.over(KafkaTransport(complete, local_stack=True), timeout_s=60) as over_kafka,
        Client(gateway.address, timeout_s=60) as over_http,
    ):
        cut("Kafka, a file that is lent", over_kafka, photo)
        cut("Kafka, bytes that are lent", over_kafka, photo.read_bytes())
        cut("HTTP, an upload", over_http, photo)
        cut("HTTP, bytes", over_http, photo.read_bytes())
        for client in (over_kafka, over_http):
            with pytest.raises(PhotoFailed, match="invalid_file_type"):
                client.cut(b"no photo")
            several = {r.photo: r for r in client.cut_many([photo, b"no photo"], outputs="mask")}
            assert (several[photo].ok, several[b"no photo"].ok) == (True, False)
        assert list((tmp_path / "state" / "inbox").iterdir()) == []

        run_the_page_s_first_example(complete, photo, tmp_path)

        async def use() -> None:
            async with AsyncClient(gateway.address, timeout_s=60) as client:
                result = await client.cut(photo, **OPTIONS)  # type: ignore[arg-type]
                found["HTTP, asyncio"] = [await result.read(name) for name in NAMES]

        asyncio.run(use())
    first, *others = found.values()
    assert [name for name, outputs in found.items() if outputs != first] == []
    assert len(others) == 4
    assert [Image.open(io.BytesIO(data)).mode for data in first] == ["RGBA", "L", "RGB"]
