"""Requests that take long hold up no others: good ones beside them are answered within half a minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from cutstream.settings import Settings
from tests.support.http_server import HttpServer, serving
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

PROMISE_S = 30.0


def allowing_this_machine(settings: Settings) -> Settings:
    objects = settings.objects.model_copy(update={"allow_private_addresses": True})
    return settings.model_copy(update={"objects": objects})


def wait_for_good(results: Results, photos: Sequence[str]) -> float:
    """Send good requests, and return the time until the last of them is answered."""
    started_s = time.monotonic()
    submit(results.settings, [{"id": f"good-{n}", "image": photo} for n, photo in enumerate(photos)])
    while sum(result.id.startswith("good-") for result in results.all) < len(photos):
        assert time.monotonic() - started_s < 80, "the good ones are not even answered now"
        results.read()
    seconds = time.monotonic() - started_s
    assert all(result.status == "ok" for result in results.all if result.id.startswith("good-"))
    return seconds


def write_noisy_photo(path: Path, size: tuple[int, int]) -> None:
    """Write a photo of a person with noise, on which matting and encoding take longest."""
    photo = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").resize(size)
    noise = np.random.default_rng(0).normal(0, 20, (size[1], size[0], 3))
    Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8)).save(path, "JPEG")


def test_a_host_that_answers_slowly_holds_up_no_others_even_with_two_ports(
    settings: Settings, small_photos: list[str], tmp_path: Path
) -> None:
    settings = allowing_this_machine(settings)
    with (
        serving(HttpServer()) as first,
        serving(HttpServer()) as second,
        Results(settings.kafka) as results,
        workers(settings, tmp_path),
    ):
        submit(settings.kafka, [{"image": server.url("status/404")} for server in (first, second) * 3])
        results.wait_for(6, 60)
        slow = [{"image": server.url(f"late/404/9/{n}")} for n in range(100) for server in (first, second)]
        submit(settings.kafka, slow)
        assert wait_for_good(results, small_photos) < PROMISE_S


def test_exact_mattings_hold_up_no_others(settings: Settings, small_photos: list[str], folder: Path, tmp_path) -> None:
    write_noisy_photo(folder / "large.jpg", (900, 900))
    matting = {"method": "closed_form", "erode": 40, "dilate": 80}
    exact = {"image": (folder / "large.jpg").as_uri(), "matting": matting, "refine": "base"}  # a band of many pixels
    with Results(settings.kafka) as results, workers(settings, tmp_path):
        submit(settings.kafka, [exact] * 40)
        assert wait_for_good(results, small_photos) < PROMISE_S
        (first, *_) = [result for result in results.wait_for(len(small_photos) + 1, 200) if "good" not in result.id]
    assert (first.status, first.attempts, first.source.topic) == ("ok", 1, settings.kafka.requests_topic)


def test_large_photos_with_every_output_hold_up_no_others(
    settings: Settings, small_photos: list[str], folder: Path, tmp_path: Path
) -> None:
    write_noisy_photo(folder / "large.jpg", (3800, 3200))
    outputs = ["cutout", "mask", "composite", "overlay", "background", "layers"]
    heavy = {"image": (folder / "large.jpg").as_uri(), "outputs": outputs, "format": "webp", "quality": 100}
    worker = settings.worker.model_copy(update={"memory_bytes": 1_300_000_000})  # room for two of them
    settings = settings.model_copy(update={"worker": worker})
    with Results(settings.kafka) as results, workers(settings, tmp_path):
        submit(settings.kafka, [heavy] * 12)
        assert wait_for_good(results, small_photos) < PROMISE_S
        (first, *_) = [result for result in results.wait_for(len(small_photos) + 1, 200) if "good" not in result.id]
    assert first.status == "ok", first.error
    assert (first.status, first.attempts, first.source.topic) == ("ok", 1, settings.kafka.requests_topic)
    assert [made.output for made in first.objects] == outputs
