"""What is odd about a photo and its background reaches the result, through real decoder processes."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from consumer.delivery.results import RecordBuilder
from consumer.jobs import Composed, Findings, Progress, Segmentation
from consumer.resources.backgrounds import BackgroundStore
from consumer.resources.cache import Cache
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.long_work import LongWork
from consumer.resources.profile_selector import Selection
from consumer.resources.sources import Sources
from consumer.stages.decode import Decode
from consumer.stages.encode import Encode
from consumer.stages.fetch import Fetch
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.objects.store import ObjectStore
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.compositing.compose import Layer, Output
from cutstream.contract.backgrounds import Entry
from cutstream.contract.messages import Result, decode_result
from cutstream.contract.options import Background
from cutstream.errors import UnknownForeground
from cutstream.images.geometry import Box
from cutstream.metrics import Metrics
from cutstream.settings import KafkaSettings, LimitSettings, ObjectSettings
from tests.support.jobs import RECORD, job_of

MAX_PIXELS = 1_000_000
MODEL = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
FINDINGS = Findings(Box(0, 0, 8, 6), 0.5, Segmentation(Selection("fast"), MODEL, 0.1))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1, 20, max_bytes=1_000_000, max_pixels=MAX_PIXELS, on_restart=lambda: None)
    pool.start()
    yield pool
    pool.close()


def written(folder: Path, name: str, **options: Any) -> str:
    """Write a picture of two frames and return its address."""
    frames = [Pillow.fromarray(np.full((20, 30, 3), level, np.uint8)) for level in (40, 200)]
    buffer = BytesIO()
    frames[0].save(buffer, save_all=True, append_images=frames[1:], **options)
    (folder / name).write_bytes(buffer.getvalue())
    return (folder / name).as_uri()


def no_entry(name: str) -> Entry:
    raise AssertionError(name)


def failed_result(pool: DecoderPool, folder: Path, **fields: Any) -> Result:
    """Carry a job up to its composition, which finds no subject; then encode, as if it had."""
    metrics, clock, ops = Metrics(), ManualClock(), CpuOps()
    objects = ObjectStore(ObjectSettings(destination=str(folder / "out"), file_roots=(folder,)), LimitSettings())
    sources = Sources(objects, 32, clock)
    backgrounds = BackgroundStore(
        no_entry, sources, pool, Cache(0, metrics), ops, clock, max_age_s=1, max_pixels=MAX_PIXELS
    )
    job, progress = job_of(**fields), Progress(0.0)
    fetched = Fetch(sources, backgrounds, metrics)(job, job.recipe)
    progress.finish("fetch", fetched, 0.0)
    decoded = Decode(pool, ops, metrics, MAX_PIXELS, LongWork(1))(job, fetched)
    progress.finish("decode", decoded, 0.0)
    output = Output("composite", (Layer("composite", decoded.image.pixels),))
    encoded = Encode(ops, pool.to_profile)(job, Composed((output,), decoded.image, FINDINGS))
    progress.finish("encode", encoded, 0.0)
    failure = RecordBuilder(KafkaSettings(), clock).failure(RECORD, job, progress, UnknownForeground("none"))
    return decode_result(failure.value)


def test_warnings_of_background_photo_and_outputs_are_in_the_result_in_this_order(
    pool: DecoderPool, tmp_path: Path
) -> None:
    photo = written(tmp_path, "photo.tif", format="TIFF", dpi=(300, 300))
    background = written(tmp_path, "background.gif", format="GIF")
    result = failed_result(
        pool,
        tmp_path,
        image=photo,
        outputs=("composite",),
        background=Background(image=background),
        keep_metadata=True,
        format="webp",
    )
    assert [warning.code for warning in result.warnings] == [
        "first_of_several",
        "first_of_several",
        "unusable_metadata",
    ]
    behind, source, lost = (warning.message for warning in result.warnings)
    assert behind.startswith("background: ")
    assert not source.startswith("background: ")
    assert "webp cannot hold the resolution of 300 x 300 dpi" in lost


def test_an_ordinary_photo_leaves_none(pool: DecoderPool, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Pillow.new("RGB", (30, 20)).save(path, dpi=(300, 300))
    result = failed_result(pool, tmp_path, image=path.as_uri(), outputs=("composite",), keep_metadata=True)
    assert result.warnings == ()
