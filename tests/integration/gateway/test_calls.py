"""Synchronous calls over a real Kafka, with a stand-in for the workers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.group import wait_until
from tests.support.stand_in_worker import PICTURE, StandInWorker

pytestmark = pytest.mark.kafka

PHOTO = b"\xff\xd8\xff\xe0 as far as the gateway knows"


def test_a_photo_comes_back_as_a_picture(running: Callable, worker: StandInWorker, tmp_path: Path) -> None:
    answer = running().client.post("/v1.0/removebg", files={"image_file": PHOTO}, data={"size": "auto"})
    assert answer.status_code == 200, answer.text
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/png"
    expected = {"x-credits-charged": "0", "x-type": "other", "x-width": "20", "x-height": "10"}
    box = {"x-foreground-left": "1", "x-foreground-top": "2", "x-foreground-width": "3", "x-foreground-height": "4"}
    assert {name: answer.headers[name] for name in expected | box} == expected | box
    (request,) = worker.requests
    assert request.deadline is not None
    assert worker.topics[0].startswith("urgent")
    # Nothing is left: neither the upload nor the output.
    wait_until(lambda: not list((tmp_path / "gateway" / "uploads").iterdir()), "the upload is still there")
    wait_until(lambda: not list((tmp_path / "out").iterdir()), "the output is still there")


def test_json_is_answered_with_json(running: Callable, worker: StandInWorker) -> None:
    body = {"image_file_b64": base64.b64encode(PHOTO).decode(), "size": "full"}
    answer = running().client.post("/v1.0/removebg", json=body, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert base64.b64decode(data.pop("result_b64")) == PICTURE
    assert data == {"foreground_top": 2, "foreground_left": 1, "foreground_width": 3, "foreground_height": 4}
    assert Path(worker.requests[0].image.removeprefix("file://")).parent.name == "uploads"


def test_a_form_names_an_address(running: Callable, worker: StandInWorker) -> None:
    data = {"image_url": "https://example.org/a.jpg", "bg_color": "fff", "format": "jpg"}
    answer = running().client.post("/v1.0/removebg", data=data)
    assert answer.status_code == 200, answer.text
    (request,) = worker.requests
    assert request.image == "https://example.org/a.jpg"
    assert request.outputs == ("composite",)
    assert request.background.color == "#ffffff"
