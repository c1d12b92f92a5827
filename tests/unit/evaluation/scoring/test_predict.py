"""The requests of an evaluation, answered by a stand-in for the stack; tests/e2e has a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cutstream.contract.messages import ErrorDetail, Request, Result, ServedModel, SourceRecord, StoredObject
from cutstream.settings import ModelSettings, ObjectSettings, Settings
from evaluation.folder import Example
from evaluation.scoring import predict as module
from evaluation.scoring.predict import NotCutOut, evaluation_settings, request_mattes
from producer.following import Batch
from tests.support.evaluation import evaluation_folder

SOURCE = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)
MODEL = ServedModel(name="cutout_general", version="1", digest="d")
IGNORE = lambda done: None  # noqa: E731


def ok(request: Request) -> Result:
    mask = StoredObject(
        output="mask",
        uri=f"file:///out/{request.id}/a%20mask.png",
        bytes=1,
        sha256="",
        width=96,
        height=96,
        media_type="image/png",
    )
    timings = {"segment": 40.0, "refine": 2.5}
    return Result(
        id=request.id, status="ok", source=SOURCE, objects=(mask,), timings_ms=timings, profile="general", model=MODEL
    )


def failed(request: Request) -> Result:
    error = ErrorDetail(code="invalid_image_url", message="outside the roots", stage="fetch", retryable=False)
    return Result(id=request.id, status="failed", source=SOURCE, error=error)


class Stack:
    """A RequestFollower that answers every request at once."""

    answer: Callable[[Request], Result] = staticmethod(ok)
    requests: list[Request]
    in_flight: int | None

    def __init__(self, settings) -> None:
        """Connect to nothing."""

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is open."""

    def follow(self, requests, *, max_in_flight, on_progress) -> Batch:
        Stack.requests, Stack.in_flight = list(requests), max_in_flight
        batch = Batch({request.id: request for request in requests})
        for request in requests:
            batch.results[request.id] = Stack.answer(request)
            on_progress(batch)
        return batch


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> type[Stack]:
    monkeypatch.setattr(module, "RequestFollower", Stack)
    monkeypatch.setattr(Stack, "answer", staticmethod(ok))
    return Stack


@pytest.fixture
def two(tmp_path: Path) -> list[Example]:
    return [Example(stem, tmp_path / f"{stem}.jpg", tmp_path / f"{stem}.png") for stem in ("my cat", "dog")]


def test_masks_are_requested_one_at_a_time(stack: type[Stack], two: list[Example], tmp_path: Path) -> None:
    done: list[int] = []
    predictions, model, profile = request_mattes(Settings(), two, "general", tmp_path, done.append)
    assert stack.in_flight == 1
    assert {request.image for request in stack.requests} == {
        f"file://{tmp_path}/my%20cat.jpg",
        f"file://{tmp_path}/dog.jpg",
    }
    assert {(request.profile, request.outputs, request.format, request.refine) for request in stack.requests} == {
        ("general", ("mask",), "png", "soft")
    }
    assert [prediction.example for prediction in predictions] == two
    assert [prediction.time_ms for prediction in predictions] == [42.5, 42.5]
    ids = {request.image.rpartition("/")[2]: request.id for request in stack.requests}
    assert predictions[0].matte == Path(f"/out/{ids['my%20cat.jpg']}/a mask.png")
    assert (model, profile, done) == (MODEL, "general", [1, 2])


def test_the_order_mixes_subsets_and_is_always_the_same(stack: type[Stack], tmp_path: Path) -> None:
    stems = [f"{subset}_{number}" for subset in ("a", "b") for number in range(10)]
    many = [Example(stem, tmp_path / f"{stem}.jpg", tmp_path / f"{stem}.png") for stem in stems]
    orders = []
    for _ in range(2):
        predictions, _, _ = request_mattes(Settings(), many, None, tmp_path, IGNORE)
        assert [prediction.example.stem for prediction in predictions] == stems
        orders.append([Path(request.image).stem for request in stack.requests])
    assert orders[0] == orders[1]
    assert len({stem[0] for stem in orders[0][:10]}) == 2


def test_the_first_failure_is_an_error(stack: type[Stack], two: list[Example], tmp_path: Path) -> None:
    stack.answer = staticmethod(failed)
    with pytest.raises(NotCutOut, match=r"(my cat|dog)\.jpg: invalid_image_url: outside the roots"):
        request_mattes(Settings(), two, None, tmp_path, IGNORE)


def test_an_own_stack_serves_one_profile_and_may_read_the_photos(tmp_path: Path) -> None:
    folder = evaluation_folder(tmp_path / "set")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "cats_1.jpg").symlink_to(folder / "images" / "cats_1.jpg")
    example = Example("cats_1", tmp_path / "linked" / "cats_1.jpg", folder / "masks" / "cats_1.png")
    site = Settings(objects=ObjectSettings(file_roots=(Path("/site"),), destination="s3://bucket/out"))
    own = evaluation_settings(site, [example], None, tmp_path / "mattes")
    assert set(own.objects.file_roots) == {Path("/site"), folder / "images", tmp_path / "mattes"}
    assert own.objects.destination == f"file://{tmp_path}/mattes"
    assert own.models.profiles == (ModelSettings().default_profile,)
    precise = evaluation_settings(site, [example], "precise", tmp_path).models
    assert (precise.profiles, precise.default_profile) == (("precise",), "precise")
