"""Transfers between host and device while a photo passes the stages, counted on the simulated device."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image as Pillow
from skimage import data

from consumer.jobs import Encoded, Fetched, File, Progress
from consumer.resources.latency import LatencyEstimator
from consumer.resources.long_work import LongWork
from consumer.resources.matting_code import MattingCode
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.profile_selector import ProfileSelector
from consumer.resources.waits import Waits
from consumer.runner import Pipeline, Runner, Stage
from consumer.stages.compose import Compose
from consumer.stages.decode import Decode
from consumer.stages.encode import Encode
from consumer.stages.refine import Refine
from consumer.stages.segment import Segment
from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Ensemble
from cutstream.clock import SystemClock
from cutstream.compositing.harmonise import harmonise
from cutstream.compositing.inpaint import MARGIN, remove_subject
from cutstream.compositing.inpaint import WORKING_SIDE as SMALL_SIDE
from cutstream.compositing.specs import HarmoniseMethod, HarmoniseSpec
from cutstream.contract.options import (
    Background,
    Gradient,
    Harmonise,
    Perspective,
    RefineParameters,
    Shadow,
)
from cutstream.contract.recipe import MAX_PIXELS
from cutstream.errors import DeviceOutOfMemory
from cutstream.images import Image
from cutstream.images.colour import from_srgb
from cutstream.metrics import Metrics
from cutstream.settings import ModelSettings, TritonSettings
from tests.support.back_ends import DEVICES, back_end, simulated
from tests.support.jobs import job_of

HEIGHT, WIDTH, SIDE = 60, 90, 32
COUNTS, BOX = 256 * 4, 4 * 4  # a histogram and a bounding box, in bytes
PICTURE = Background(image="yard")
PHOTO, NETWORK, MATTE = 3 * HEIGHT * WIDTH, 3 * SIDE * SIDE, SIDE * SIDE


@pytest.fixture
def photo() -> Image:
    pixels = np.ascontiguousarray(
        data.chelsea()[70 : 70 + 2 * HEIGHT : 2, 70 : 70 + 2 * WIDTH : 2]
    )  # noise has no subject
    return Image(pixels, alpha=np.full((HEIGHT, WIDTH), 200, np.uint8))


class Yard:
    """A background picture of a ground with a hard shadow."""

    def __init__(self, ops: ArrayOps) -> None:
        self._ops = ops

    def fit(self, width: int, height: int, fit: str, colour: Any) -> Any:
        pixels = np.full((height, width, 3), (150, 140, 120), np.uint8)
        pixels[height // 2 :, : width // 3] = (75, 70, 60)
        return self._ops.to_device(pixels)


def process(photo: Image, ops: ArrayOps, before_stage: Any = lambda stage: None, **options: Any) -> Encoded:
    """Carry the bytes of a photo through the stages, with a fake decoder and a fake Triton, to the encoded outputs."""
    small = np.zeros((SIDE, SIDE), np.uint8)
    small[8:24, 6:30] = 255
    triton: Any = SimpleNamespace(
        ensemble=lambda profile: Ensemble("cutout_fast", "1", width=SIDE, height=SIDE, max_batch=1),
        infer=lambda ensemble, images: [small for _ in images],
    )
    metrics = Metrics()
    job = job_of(**{"format": "png", **options})
    file = BytesIO()
    Pillow.fromarray(photo.pixels).save(file, "PNG")
    value: Any = Fetched(file.getvalue(), Yard(ops) if job.recipe.composition.background.picture else None)
    pool: Any = SimpleNamespace(decode=lambda data, header: photo)
    latency = LatencyEstimator(triton, SystemClock())
    selector = ProfileSelector(ModelSettings(), latency, metrics, SystemClock())
    stages: dict[str, Any] = {
        "decode": Decode(pool, ops, metrics, 10**6, LongWork(1)),
        "segment": Segment(triton, selector, latency, ops, metrics, TritonSettings(batch_max_wait_s=0)),
        "refine": Refine(ops, MattingCode()),
        "compose": Compose(ops),
        "encode": Encode(ops, from_srgb),
    }
    for name, stage in stages.items():
        before_stage(name)
        value = stage(job, value)
    return value


def test_a_photo_is_uploaded_once_after_decode_and_its_cutout_downloaded_once_before_encode(photo: Image) -> None:
    ops, device = simulated()
    transfers: dict[str, tuple[int, int]] = {}
    process(
        Image(photo.pixels), ops, lambda stage: transfers.update({stage: (len(device.uploads), len(device.downloads))})
    )
    assert device.uploads == [PHOTO, MATTE]
    assert device.downloads == [NETWORK, COUNTS, MATTE, COUNTS, BOX, 4 * HEIGHT * WIDTH]
    # In between, refine looks for islands in the network's matte, and compose downloads the figures that the result
    # reports, and no image.
    assert transfers["refine"] == (2, 2)
    assert transfers["compose"] == (2, 3)
    assert transfers["encode"] == (2, 5)


def test_a_photo_releases_its_reservation_while_the_devices_memory_is_full(photo: Image) -> None:
    reserved: list[int] = []
    pool: Any = SimpleNamespace(decode=lambda data, header: photo)
    file = BytesIO()
    Pillow.fromarray(photo.pixels).save(file, "PNG")
    full: Any = SimpleNamespace(errors=nullcontext, to_device=Mock(side_effect=[DeviceOutOfMemory("full"), 1, 2]))
    decode = Decode(pool, full, Metrics(), 10**6, LongWork(1))
    snapshots: list[list[int]] = []
    slots = PrioritySemaphore(1)
    stages = (
        Stage("fetch", lambda job, recipe: Fetched(file.getvalue()), slots),
        Stage("decode", decode, slots, memory=decode.needed_bytes),
        Stage("last", lambda job, value: snapshots.append(list(reserved)), slots),
    )
    stopping: Any = SimpleNamespace(is_set=lambda: False, wait=lambda seconds: snapshots.append(list(reserved)))
    runner: Runner[Any] = Runner(
        Pipeline(stages),
        MemoryBudget(10**6, reserved.append),
        Metrics(),
        SystemClock(),
        3,
        stopping,
        Waits(SystemClock()),
    )
    runner.carry(job_of(), Progress(0.0))
    waiting, decoded = snapshots
    assert waiting[-1] == 0
    assert decoded[-1] == decode.needed_bytes(job_of(), Fetched(file.getvalue()))
    assert reserved[-1] == 0


def test_each_output_is_downloaded_once(photo: Image) -> None:
    ops, device = simulated()
    process(photo, ops, outputs=("mask", "composite", "cutout"), existing_alpha="multiply", roi="10% 10% 90% 90%")
    assert device.uploads == [HEIGHT * WIDTH, PHOTO, MATTE]
    assert device.downloads[-3:] == [channels * HEIGHT * WIDTH for channels in (1, 3, 4)]


def test_morphology_uploads_only_its_small_tables_besides(photo: Image) -> None:
    ops, device = simulated()
    process(Image(photo.pixels), ops, refine="aggressive")
    assert device.uploads[:2] == [PHOTO, MATTE]
    assert max(device.uploads[2:], default=0) < 1000


@pytest.mark.parametrize("method", ["reinhard", "histogram"])
def test_harmonising_downloads_histograms_and_uploads_tables(photo: Image, method: HarmoniseMethod) -> None:
    ops, device = simulated()
    pixels, alpha, background = map(ops.to_device, (photo.pixels, photo.alpha, photo.pixels[::-1]))
    device.uploads.clear()
    harmonise(pixels, alpha, background, HarmoniseSpec(method=method), ops)
    assert (
        device.downloads == [COUNTS] * 7
    )  # three channels of subject and background, and the number of subject pixels
    assert max(device.uploads) <= 2 * 4096


def test_inpainting_alone_passes_through_the_host_at_its_small_size() -> None:
    ops, device = simulated()
    large = np.random.default_rng(3).integers(0, 256, (300, 500, 3), np.uint8)
    alpha = np.zeros((300, 500), np.uint8)
    alpha[90:200, 120:300] = 255
    pixels, matte = ops.to_device(large), ops.to_device(alpha)
    device.uploads.clear()
    filled = remove_subject(pixels, matte, "telea", ops)
    small = SMALL_SIDE * SMALL_SIDE * 300 // 500
    assert device.downloads == [3 * small, small]
    assert device.uploads == [MARGIN.nbytes, 3 * small]
    np.testing.assert_array_equal(ops.to_host(filled), remove_subject(large, alpha, "telea", CpuOps()))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "options",
    [
        {"outputs": ("cutout", "mask", "composite")},
        {"crop": True, "crop_margin": "10%", "outputs": ("composite",), "background": Background(color="teal")},
        {"size": "preview", "outputs": ("cutout", "composite")},
        {"existing_alpha": "keep", "channels": "alpha"},
        {"existing_alpha": "multiply", "refine": "base"},
        {"refine": RefineParameters(kernel=5, open=2, blur=7, scale="none"), "roi": "0 0 50% 100%"},
        {"outputs": ("overlay", "background", "layers"), "shadow": "drop"},
        {"outputs": ("composite",), "background": PICTURE, "shadow": "contact", "harmonise": "reinhard"},
        {"outputs": ("composite",), "background": PICTURE, "shadow": Shadow(type="cast", light="auto")},
        {"outputs": ("composite",), "background": PICTURE, "harmonise": Harmonise(method="histogram", strength=1)},
        {"outputs": ("composite",), "background": Background(gradient=Gradient(colors=("red", "#00f"), angle=30))},
        {"outputs": ("composite",), "background": Background(blur=15), "decontaminate": True},
        {"outputs": ("composite",), "background": Background(color="transparent"), "shadow": "cast"},
        {"canvas": "120x50", "scale": "80%", "position": "100% 0%", "outputs": ("cutout", "composite")},
        {"canvas": "80x80", "perspective": Perspective(baseline="10 70 60 60", horizon="10%"), "decontaminate": True},
        {"decontaminate": True, "format": "zip"},
    ],
    ids=str,
)
def test_a_device_produces_the_same_files(
    photo: Image, device: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the files with those of the CPU.

    Only `soft` may differ, by the one level that `local_linear` is allowed, and a composite by as much.
    """
    monkeypatch.setitem(MAX_PIXELS, "preview", 1000)
    expected, actual = (process(photo, ops, **options) for ops in (CpuOps(), back_end(device)))
    assert actual.findings.box == expected.findings.box
    assert actual.findings.coverage == pytest.approx(expected.findings.coverage, abs=1 / 255)
    for expected_file, actual_file in zip(expected.files, actual.files, strict=True):
        for name, first, second in image_pairs(expected_file, actual_file):
            transparent = first.ndim == 3 and first.shape[2] == 4
            visible = np.broadcast_to(((first > 0) & (second > 0))[..., -1:] if transparent else True, first.shape)
            difference = np.abs(first - second)[visible]
            # The colour of a nearly transparent pixel is a quotient of small numbers. A cast shadow passes three blurs.
            limit = 3 if options.get("shadow") or options.get("decontaminate") else 1
            assert difference.max(initial=0) <= limit, name
            assert (difference > 0).mean() <= 0.01, name


def image_pairs(expected: File, actual: File) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name and both images of a file, or of each PNG in an archive."""
    if expected.extension != "zip":
        first, second = (np.asarray(Pillow.open(BytesIO(file.data)), int) for file in (expected, actual))
        yield expected.output, first, second
        return
    archives = [zipfile.ZipFile(BytesIO(file.data)) for file in (expected, actual)]
    assert archives[0].namelist() == archives[1].namelist()
    for name in archives[0].namelist():
        if name.endswith(".png"):
            first, second = (np.asarray(Pillow.open(archive.open(name)), int) for archive in archives)
            yield name, first, second
