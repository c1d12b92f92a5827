"""A gateway with its page and without Kafka, behind which stands a worker that cuts out in an instant: an ellipse."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from cutstream.clients.objects import files
from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, StoredObject
from cutstream.settings import GatewaySettings, LimitSettings, ModelSettings, ObjectSettings, Settings
from producer.gateway.gateway import Gateway
from tests.support.fake_stream import FakeStream
from tests.support.ports import free_ports


class EllipseWorker:
    """Answers requests whose photo it can read. While `holding` is set, nothing is answered."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self.holding = threading.Event()
        self.closed = threading.Event()
        self.delay_s = 0.0
        self.answered: list[str] = []
        self.stream: FakeStream

    def answer(self, request: Request) -> Result | None:
        while self.holding.is_set() and not self.closed.is_set():
            time.sleep(0.01)
        time.sleep(self.delay_s)
        self.answered.append(request.id or "")
        self.stream.load.note_results(1)
        try:
            photo = ImageOps.exif_transpose(Image.open(io.BytesIO(Path(files.path_of(request.image)).read_bytes())))
            photo.load()
        except (OSError, SyntaxError):
            return self._result(request, "failed", error=_error("failed_to_read_image", "the file ends too early"))
        stored = self._store(request, _cut(photo, request))
        return self._result(request, "ok", objects=(stored,), profile=request.profile or "fast", uncertainty=0.1)

    def cancelled(self, request: Request) -> Result:
        return self._result(request, "cancelled", error=_error("cancelled", "called off"))

    def _store(self, request: Request, picture: Image.Image) -> StoredObject:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        data = buffer.getvalue()
        output = request.outputs[0]
        uri = f"{self._destination}/{request.id}/{output}.png"
        files.write(files.path_of(uri), data)
        return StoredObject(
            output=output,
            uri=uri,
            bytes=len(data),
            sha256=sha256(data).hexdigest(),
            width=picture.width,
            height=picture.height,
            media_type="image/png",
        )

    def _result(self, request: Request, status: Any, **fields: Any) -> Result:
        source = SourceRecord(topic="t", partition=0, offset=0, timestamp_ms=0)
        return Result(id=request.id or "", status=status, source=source, labels=request.labels, **fields)


def _error(code: str, message: str) -> ErrorDetail:
    return ErrorDetail(code=code, message=message, stage="decode", retryable=False)


def _cut(photo: Image.Image, request: Request) -> Image.Image:
    """Return the ellipse in the middle of a photo, on transparency or on the request's colour."""
    width, height = photo.size
    alpha = Image.new("L", photo.size, 0)
    ImageDraw.Draw(alpha).ellipse((0.2 * width, 0.1 * height, 0.8 * width, 0.95 * height), fill=255)
    cutout = photo.convert("RGB")
    cutout.putalpha(alpha)
    if request.crop:
        cutout = cutout.crop(alpha.getbbox())
    if "composite" in request.outputs and request.background.color != "transparent":
        ground = Image.new("RGBA", cutout.size, request.background.color)
        return Image.alpha_composite(ground, cutout).convert("RGB")
    return cutout


@dataclass
class ServedGateway:
    """`address` ends in `/`."""

    gateway: Gateway
    worker: EllipseWorker
    address: str
    port: int
    settings: Settings
    requests: list[Request] = field(default_factory=list)

    @property
    def stream(self) -> FakeStream:
        return self.worker.stream


@contextmanager
def served_gateway(folder: Path, port: int | None = None, **section: Any) -> Iterator[ServedGateway]:
    """Run a gateway whose jobs lie in `folder`, so that it can be run again."""
    state = folder / "state"
    state.mkdir(mode=0o755, exist_ok=True, parents=True)
    port = port or free_ports(1)[0]
    settings = Settings(
        objects=ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder,)),
        limits=LimitSettings(max_source_bytes=20_000_000),
        models=ModelSettings(profiles=("fast", "general", "portrait")),
        gateway=GatewaySettings(**{"port": port, "state": state, **section}),
    )
    gateway = Gateway(settings, make_stream=FakeStream)
    worker = EllipseWorker(settings.objects.destination)
    worker.stream = gateway._stream  # type: ignore[assignment]
    worker.stream.answer = worker.answer
    thread = threading.Thread(target=gateway.run)
    thread.start()
    try:
        _wait_until_it_listens(port)
        yield ServedGateway(gateway, worker, f"http://127.0.0.1:{port}/", port, settings, worker.stream.requests)
    finally:
        worker.closed.set()
        gateway.stop()
        thread.join()


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.01)


def photo_bytes(number: int = 0, size: tuple[int, int] = (480, 360), kind: str = "JPEG") -> bytes:
    """Return a photo of our own making: a ball in front of a wall."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    wall = np.stack([180 - 60 * y / height, 170 - 30 * x / width, 150 + 40 * y / height], -1)
    colour = np.array([(90 + 83 * number) % 256, (160 + 59 * number) % 256, (60 + 101 * number) % 256], float)
    far = ((x - width / 2) / (0.3 * width)) ** 2 + ((y - 0.52 * height) / (0.42 * height)) ** 2
    light = np.clip(1.25 - 0.6 * (x / width + y / height), 0.3, 1.2)[..., None]
    pixels = np.where(far[..., None] < 1, colour * light, wall)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, kind, quality=88)
    return buffer.getvalue()
