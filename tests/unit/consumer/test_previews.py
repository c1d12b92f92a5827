from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from consumer.jobs import Composed, Encoded, Progress
from consumer.previews import SIDE_PX, Previews
from cutstream.arrays.device import open_device
from cutstream.arrays.ops import ArrayOps
from cutstream.clock import ManualClock
from cutstream.compositing.compose import Layer, Output
from cutstream.errors import UnreadableImage
from cutstream.images import Image
from cutstream.watching.recent import Photo, Recent
from tests.support.back_ends import SUBJECTS, back_end
from tests.support.jobs import job_of


class Worker:
    def __init__(self, shows_photos: bool = True, ops: ArrayOps | None = None) -> None:
        self.clock = ManualClock()
        self.ops = ops or open_device("cpu")
        self.recent = Recent(shows_photos)
        self.previews = Previews(self.recent, self.ops, self.clock)

    def finish(self, *outputs: Output, id: str = "order-1", size: tuple[int, int] = (640, 480)) -> list[Photo]:
        job, progress = job_of(id=id), Progress(self.clock.monotonic() - 2)
        pixels = self.ops.to_device(np.full((size[1], size[0], 3), 99, np.uint8))
        self.previews.observe(job, progress, Composed(outputs or (cutout(*size),), Image(pixels), None))  # type: ignore[arg-type]
        self.previews.observe(job, progress, Encoded((), None))  # type: ignore[arg-type]
        self.previews.note_success(job, progress)
        return [photo for _, photo in self.recent.photos.after(0)]


def cutout(width: int, height: int) -> Output:
    pixels = np.full((height, width, 4), (200, 50, 10, 255), np.uint8)
    pixels[:, : width // 2] = 0
    return Output("cutout", (Layer("cutout", pixels),))


def read(data: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("size", "small"),
    [((640, 480), (160, 120)), ((4000, 1000), (160, 40)), ((30, 50), (30, 50)), ((1, 9000), (1, 160))],
)
def test_a_photo_and_its_cutout_become_small_pictures(size: tuple[int, int], small: tuple[int, int]) -> None:
    (photo,) = Worker().finish(size=size)
    for data, format in ((photo.photo, "JPEG"), (photo.cutout, "WEBP")):
        assert max(small) <= SIDE_PX
        shown = Pillow.open(io.BytesIO(data))
        assert (shown.format, shown.size) == (format, small)
        assert len(data) < 10_000
    assert (photo.id, photo.width, photo.height, photo.seconds) == ("order-1", *size, 2)


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_is_transparent_stays_so_wherever_the_pixels_are(name: str) -> None:
    ops = back_end(name)
    made = cutout(640, 480)
    on_device = Output("cutout", (Layer("cutout", ops.to_device(made.layers[0].pixels)),))
    (photo,) = Worker(ops=ops).finish(on_device)
    alpha = read(photo.cutout)[..., 3]
    assert alpha[:, :70].max() == 0
    assert alpha[:, 90:].min() == 255
    assert np.abs(read(photo.photo).astype(int) - 99).max() <= 4


def test_without_a_cutout_another_output_is_shown() -> None:
    mask = Output("mask", (Layer("mask", np.full((480, 640), 255, np.uint8)),))
    composite = Output("composite", (Layer("composite", np.full((480, 640, 3), 7, np.uint8)),))
    (photo,) = Worker().finish(mask, composite)
    assert read(photo.cutout).max() < 20
    (photo,) = Worker().finish(mask)
    assert read(photo.cutout).min() > 240


def test_one_photo_in_five_seconds_is_drawn_and_one_a_second_while_somebody_watches() -> None:
    worker = Worker()
    worker.finish(id="first")
    for number in range(49):
        worker.clock.sleep(0.1)
        worker.finish(id=str(number))
    assert [photo.id for photo in worker.finish()] == ["first"]
    worker.recent.watched = True
    assert [photo.id for photo in worker.finish(id="watched")] == ["first", "watched"]
    worker.clock.sleep(0.9)
    assert len(worker.finish()) == 2
    worker.clock.sleep(0.2)
    assert len(worker.finish()) == 3


def test_where_photos_are_not_shown_none_is_drawn() -> None:
    assert Worker(shows_photos=False).finish() == []


def test_a_photo_that_cannot_be_drawn_is_finished_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    strange = Output("cutout", (Layer("cutout", np.zeros((4, 4, 4), np.float64)),))  # type: ignore[arg-type]
    assert Worker().finish(strange) == []
    assert "no small picture for the live page" in caplog.text


def test_a_failure_is_shown_with_its_message_only_where_photos_are() -> None:
    for shows_photos, message in ((True, "file:///a.jpg: it is a text"), (False, "")):
        worker = Worker(shows_photos)
        worker.previews.note_failure("order-1", "decode", UnreadableImage("file:///a.jpg: it is a text"))
        ((_, failure),) = worker.recent.failures.after(0)
        assert (failure.id, failure.stage, failure.code) == ("order-1", "decode", "failed_to_read_image")
        assert failure.message == message
        assert failure.at_s == worker.clock.wall()
