"""Every real photo gets exactly one result, and every object is as its result says."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from cutstream.contract.messages import decode_result
from tests.e2e.conftest import DATA, REAL
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

TRACE = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]


def read(uri: str) -> bytes:
    return Path(unquote(urlsplit(uri).path)).read_bytes()


def test_real_photos_become_finished_cutouts(settings, tmp_path) -> None:
    requests = [{"id": Path(name).stem, "image": (DATA / name).as_uri(), "labels": {"n": name}} for name in REAL]
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, requests, TRACE)
        done = results.wait_for(len(requests), 120)
    assert_exactly_once(done, [request["id"] for request in requests])
    for result, record in zip(done, results.records, strict=True):
        assert (result.status, result.error) == ("ok", None)
        assert 0.0 < result.coverage < 1.0
        assert result.labels == {"n": next(name for name in REAL if Path(name).stem == result.id)}
        headers = dict(record.headers)
        assert headers["ce_type"] == b"io.cutstream.result.v1"
        assert headers["traceparent"] == TRACE[0][1]
        (cutout,) = result.objects
        data = read(cutout.uri)
        assert (len(data), sha256(data).hexdigest()) == (cutout.bytes, cutout.sha256)
        image = Image.open(io.BytesIO(data))
        assert (image.mode, image.size) == ("RGBA", (cutout.width, cutout.height))
        with Image.open(DATA / next(n for n in REAL if Path(n).stem == result.id)) as source:
            assert image.size == source.size
        assert set(result.timings_ms) == {"fetch", "decode", "segment", "refine", "compose", "encode", "store"}


def test_outputs_formats_crop_and_background_follow_the_request(settings, tmp_path) -> None:
    request = {
        "id": "all-outputs",
        "image": (DATA / "astronaut.png").as_uri(),
        "outputs": ["cutout", "mask", "composite"],
        "background": {"color": "#ff0000"},
        "crop": True,
        "crop_margin": "10px",
        "refine": "base",
    }
    webp = {"id": "webp", "image": request["image"], "format": "webp", "quality": 80}
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [request, webp])
        done = {result.id: result for result in results.wait_for(2, 120)}
    objects = {obj.output: obj for obj in done["all-outputs"].objects}
    assert {name: obj.media_type for name, obj in objects.items()} == {
        "cutout": "image/png",
        "mask": "image/png",
        "composite": "image/jpeg",
    }
    sizes = {(obj.width, obj.height) for obj in objects.values()}
    box = done["all-outputs"].bbox
    assert len(sizes) == 1
    assert max(sizes)[0] <= box.foreground_width + 20
    mask = np.asarray(Image.open(io.BytesIO(read(objects["mask"].uri))))
    assert set(np.unique(mask)) <= {0, 255}  # the preset `base` binarises
    composite = np.asarray(Image.open(io.BytesIO(read(objects["composite"].uri))).convert("RGB")).astype(int)
    assert np.abs(composite[mask == 0] - (255, 0, 0)).mean() < 12  # includes JPEG's own error near the contour
    (obj,) = done["webp"].objects
    assert Image.open(io.BytesIO(read(obj.uri))).format == "WEBP"


def test_auto_reports_the_chosen_profile_and_the_reason(settings, tmp_path) -> None:
    models = settings.models.model_copy(update={"auto": settings.models.profiles, "default_profile": "auto"})
    photo = (DATA / "chelsea.png").as_uri()
    requests = [{"id": "any", "image": photo}, {"id": "quick", "image": photo, "profile": "auto", "hint": "speed"}]
    with (
        workers(settings.model_copy(update={"models": models}), tmp_path) as (worker,),
        Results(settings.kafka) as results,
    ):
        submit(settings.kafka, requests)
        done = {result.id: result for result in results.wait_for(2, 120)}
        metrics = worker.get("/metrics")[1]
    for id, profile, reason in (("any", models.profiles[0], "time"), ("quick", models.profiles[-1], "hint")):
        assert (done[id].status, done[id].profile, done[id].choice.reason) == ("ok", profile, reason)
        assert done[id].model.name == f"cutout_{profile}"
        assert f'cutstream_auto_choices_total{{profile="{profile}",reason="{reason}"}} 1.0' in metrics


def test_a_request_without_an_id_is_named_after_its_offset(settings, tmp_path) -> None:
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [{"image": (DATA / "chelsea.png").as_uri()}])
        (result,) = results.wait_for(1, 120)
    assert result.id == f"{result.source.topic}-{result.source.partition}-{result.source.offset}"
    assert f"/{result.id}/cutout-{result.objects[0].sha256[:12]}.png" in result.objects[0].uri


def test_urgent_requests_overtake_those_that_were_sent_before(settings, small_photos, tmp_path) -> None:
    kafka = settings.kafka
    urgent = kafka.model_copy(update={"requests_topic": kafka.urgent_topic})
    ordinary = [{"id": f"ordinary-{n}", "image": small_photos[n % 20]} for n in range(300)]
    submit(kafka, ordinary)
    submit(urgent, [{"id": f"urgent-{n}", "image": small_photos[n]} for n in range(10)])
    with workers(settings, tmp_path), Results(kafka) as results:
        results.wait_for(310, 120)
    in_time = sorted(results.records, key=lambda record: record.timestamp_ms)  # the topic's partitions are not in order
    ids = [decode_result(record.value).id for record in in_time]
    last = max(place for place, id in enumerate(ids) if id.startswith("urgent"))
    assert last < 150, "the last urgent request was answered after most of the ordinary ones"


def test_the_same_request_twice_writes_the_same_object(settings, tmp_path, folder) -> None:
    request = {"id": "again", "image": (DATA / "coffee.png").as_uri()}
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [request, request])
        first, second = results.wait_for(2, 120)
    assert first.objects == second.objects
    assert len(list((folder / "out" / "again").iterdir())) == 1


def test_at_least_once_delivery_also_delivers_every_result(settings, tmp_path) -> None:
    kafka = settings.kafka.model_copy(update={"delivery": "at_least_once"})
    requests = [{"id": Path(name).stem, "image": (DATA / name).as_uri()} for name in REAL]
    settings = settings.model_copy(update={"kafka": kafka})
    with workers(settings, tmp_path) as (worker,), Results(kafka) as results:
        submit(kafka, requests)
        done = results.wait_for(len(requests), 120)
        assert worker.terminate() == 0
    assert {(result.id, result.status) for result in done} == {(request["id"], "ok") for request in requests}
    with workers(settings, tmp_path, count=1), Results(kafka) as results:
        assert len(results.wait_for(len(requests), 30)) == len(
            done
        )  # the offsets were committed, so no request runs again
