from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from cutstream.settings import KafkaSettings, ObjectSettings, Settings, WorkerSettings

DATA = Path(skimage.__file__).parent / "data"
# Where a crop of 160×120 shows somebody's face: the photo, and the ranges of the crop's top and left.
FACES = (("astronaut.png", (20, 150), (110, 250)), ("chelsea.png", (70, 150), (70, 170)))
REAL = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")


@pytest.fixture
def settings(kafka_settings: KafkaSettings, triton: Settings, tmp_path: Path) -> Settings:
    """Return a worker's settings: this test's topics, the test run's Triton, one folder for photos and outputs."""
    folder = tmp_path / "objects"
    folder.mkdir()
    return triton.model_copy(
        update={
            "kafka": kafka_settings.model_copy(update={"session_timeout_s": 6.0}),
            "objects": ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder, DATA)),
            "worker": WorkerSettings(memory_bytes=1_000_000_000, drain_timeout_s=15, port=0),
        }
    )


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.objects.file_roots[0]


@pytest.fixture
def small_photos(folder: Path) -> list[str]:
    """Return twenty crops of real photos, small enough to send thousands of requests through two cores.

    Each has a subject: a face.
    """
    chooser = random.Random(7)
    sources = [(np.asarray(Image.open(DATA / name).convert("RGB")), *where) for name, *where in FACES]
    addresses = []
    for number in range(20):
        source, tops, lefts = chooser.choice(sources)
        top, left = chooser.randrange(*tops), chooser.randrange(*lefts)
        buffer = io.BytesIO()
        Image.fromarray(source[top : top + 120, left : left + 160]).save(buffer, "JPEG", quality=90)
        path = folder / f"small-{number}.jpg"
        path.write_bytes(buffer.getvalue())
        addresses.append(path.as_uri())
    return addresses
