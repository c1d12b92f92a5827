"""All composing options of a request, on a real stack."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from cutstream.clock import SystemClock
from producer.backgrounds import add
from tests.e2e.conftest import DATA
from tests.e2e.test_all_in_all_out import read
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

STUDIO = {
    "outputs": ["cutout", "mask", "composite", "overlay", "background", "layers"],
    "matting": "fast",
    "decontaminate": True,
    "canvas": "600x500",
    "scale": "70%",
    "position": "50% 40%",
    "background": {"image": "bricks", "fit": "tile"},
    "shadow": {"type": "cast", "light": "auto"},
    "harmonise": "reinhard",
}


def test_a_composite_with_all_options_on_a_background_from_the_catalogue(settings, tmp_path) -> None:
    add(settings, "bricks", str(DATA / "brick.png"), SystemClock())
    request = {"id": "studio", "image": (DATA / "coffee.png").as_uri(), **STUDIO}
    with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
        submit(settings.kafka, [request, {**request, "id": "again"}])
        done = {result.id: result for result in results.wait_for(2, 120)}
        assert worker.metric("cutstream_background_lookups_total", 'kind="decoded",outcome="miss"') == 1
    result = done["studio"]
    assert result.error is None
    objects = {obj.output: obj for obj in result.objects}
    assert list(objects) == STUDIO["outputs"]
    for name in ("cutout", "mask", "composite", "layers"):
        assert (objects[name].width, objects[name].height) == (600, 500), name
    with Image.open(DATA / "coffee.png") as photo:
        for name in ("overlay", "background"):
            assert (objects[name].width, objects[name].height) == photo.size, name
    mask = np.asarray(Image.open(io.BytesIO(read(objects["mask"].uri))))
    composite = np.asarray(Image.open(io.BytesIO(read(objects["composite"].uri))).convert("RGB")).astype(int)
    with Image.open(DATA / "brick.png") as background:
        bricks = np.asarray(background.convert("RGB"))[:500].astype(int)
    top_left = (slice(0, 40), slice(0, 100))
    assert mask[top_left].max() == 0
    assert np.abs(composite[top_left] - bricks[top_left]).mean() < 4  # JPEG's own error
    with zipfile.ZipFile(io.BytesIO(read(objects["layers"].uri))) as archive:
        names = [layer["file"] for layer in json.loads(archive.read("layers.json"))["layers"]]
        assert names == ["background.jpg", "shadow.png", "cutout.png"]
        assert {Image.open(archive.open(name)).size for name in names} == {(600, 500)}
    assert [obj.sha256 for obj in done["again"].objects] == [obj.sha256 for obj in result.objects]


# By request id: the further fields, the error code, and the stage that fails.
BAD = {
    "nothing-there": ({"roi": "0 0 30 30"}, "unknown_foreground", "compose"),
    "a-pattern": ({"image": (DATA / "chessboard_GRAY.png").as_uri()}, "unknown_foreground", "compose"),
    "no-such-name": ({"outputs": ["composite"], "background": {"image": "beach"}}, "invalid_bg_image", "fetch"),
    "refused": (
        {"outputs": ["composite"], "background": {"image": "file:///etc/passwd"}},
        "invalid_bg_image_url",
        "request",
    ),
    "outside": ({"roi": "0 0 9000 30"}, "roi_exceeds_bounds", "compose"),
    "preset": ({"refine": "smoth"}, "invalid_option", "request"),
    "kernel": ({"refine": {"kernel": 98, "close": 1}}, "invalid_option", "request"),
    "margin": ({"crop": True, "crop_margin": "900px"}, "invalid_option", "request"),
}


def test_impossible_options_fail_with_their_error_codes(settings, tmp_path) -> None:
    photo = (DATA / "chelsea.png").as_uri()
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [{"id": id, "image": photo, **fields} for id, (fields, _, _) in BAD.items()])
        done = {result.id: result for result in results.wait_for(len(BAD), 60)}
    for id, (_, code, stage) in BAD.items():
        assert (done[id].status, done[id].objects) == ("failed", ()), id
        assert (done[id].error.code, done[id].error.stage) == (code, stage), id
