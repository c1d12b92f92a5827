"""A background picture that comes with a job is for all its photos, and is removed with the last of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutstream.clients.objects import files
from tests.support.group import wait_until

PHOTOS = [("image_file", ("a.jpg", b"\xff\xd8 a")), ("image_file", ("b.jpg", b"\xff\xd8 b"))]
PICTURE = ("bg_image_file", ("beach.jpg", b"\xff\xd8 beach"))
OPTIONS = {"options": '{"outputs": ["composite"], "background": {"fit": "contain"}}'}


def uploads(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "state" / "uploads"
    return list(folder.iterdir()) if folder.is_dir() else []


def test_all_photos_of_a_job_get_the_picture_that_comes_with_it(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    seen: list[bytes] = []

    def answer(request: Any) -> Any:
        seen.append(Path(files.path_of(request.background.image)).read_bytes())
        return served.worker.succeed(request)

    served.stream.answer = answer
    job = served.client.post("/v1/jobs", data=OPTIONS, files=[*PHOTOS, PICTURE])
    assert job.status_code == 202, job.text
    wait_until(lambda: len(seen) == 2, "the photos were not sent")
    assert seen == [b"\xff\xd8 beach"] * 2
    assert {request.background.fit for request in served.stream.requests} == {"contain"}
    wait_until(lambda: not uploads(tmp_path), "uploads are left")


def test_the_picture_stays_while_it_is_needed(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    results: list[Any] = []
    served.stream.answer = lambda request: results.append(served.worker.succeed(request))
    served.client.post("/v1/jobs", data=OPTIONS, files=[*PHOTOS, PICTURE])
    wait_until(lambda: len(results) == 2, "the photos were not sent")
    address = served.stream.requests[0].background.image
    assert address in served.gateway._store.open_uploads()
    served.stream.deliver(results[0])
    wait_until(lambda: len(uploads(tmp_path)) == 2, "a photo's upload is not removed")
    assert address in served.gateway._store.open_uploads()
    served.stream.deliver(results[1])
    wait_until(lambda: not uploads(tmp_path), "the picture is not removed")


def test_the_picture_of_a_failed_photo_stays_for_its_replay(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    served.stream.answer = served.worker.fail("invalid_bg_image")
    id = served.client.post("/v1/jobs", data=OPTIONS, files=[PHOTOS[0], PICTURE]).json()["id"]
    wait_until(lambda: served.client.get(f"/v1/jobs/{id}").json()["status"] == "done", "it is not done")
    assert len(uploads(tmp_path)) == 2


def test_a_repeated_job_leaves_nothing_behind(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    served.stream.answer = lambda request: None
    key = {"Idempotency-Key": "one"}
    for status in (202, 200):
        answer = served.client.post("/v1/jobs", data=OPTIONS, files=[*PHOTOS, PICTURE], headers=key)
        assert answer.status_code == status
    wait_until(lambda: len(uploads(tmp_path)) == 3, "uploads of the second are left")
    other = ("bg_image_file", ("beach.jpg", b"\xff\xd8 another beach"))
    assert served.client.post("/v1/jobs", data=OPTIONS, files=[*PHOTOS, other], headers=key).status_code == 422
    wait_until(lambda: len(uploads(tmp_path)) == 3, "uploads of the second are left")


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ('{"background": {"image": "beach"}}', [PHOTOS[0], PICTURE]),
        ('{"background": {"blur": 5}}', [PHOTOS[0], PICTURE]),
        ("{}", [PHOTOS[0], PICTURE, PICTURE]),
    ],
)
def test_one_background_is_enough(serve: Callable, tmp_path: Path, options: str, sent: list[Any]) -> None:
    answer = serve().client.post("/v1/jobs", data={"options": options}, files=sent)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "multiple_sources")
    wait_until(lambda: uploads(tmp_path) == [], "uploads are left")
