"""The mattes that the served stack makes: real requests, one photo at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from PIL import Image as Pillow

from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.messages import Request, Result, ServedModel
from cutstream.errors import CutstreamError, UnknownForeground
from cutstream.settings import Settings
from evaluation.scoring.folder import Example, Photo
from evaluation.scoring.measure import Prediction
from producer.following import Batch, Submission
from producer.submitting import request_id


class NotCutOut(CutstreamError):
    """The stack answered a photo of the evaluation with an error.

    The message has the result's code; docs/errors.md says what to do about it.
    """

    code = "not_cut_out"


def evaluation_settings(settings: Settings, photos: Sequence[Photo], profile: str | None, folder: Path) -> Settings:
    """For a stack of this run's own: it serves the one profile, reads the photos, and leaves the mattes in `folder`."""
    chosen = profile or settings.models.default_profile
    folders = {photo.photo.resolve().parent for photo in photos}
    roots = tuple(sorted({*settings.objects.file_roots, *folders, folder}))
    return settings.model_copy(
        update={
            "models": settings.models.model_copy(update={"profiles": (chosen,), "default_profile": chosen}),
            "objects": settings.objects.model_copy(
                update={"file_roots": roots, "destination": files.uri_of(str(folder))}
            ),
        }
    )


def predict(
    settings: Settings,
    examples: Sequence[Example],
    profile: str | None,
    folder: Path,
    watch: Callable[[int], None],
) -> tuple[list[Prediction], ServedModel | None, str | None]:
    """A matte of every example, at the photo's size as the worker delivers it; the model and the profile behind them.

    One at a time, so that a photo's time is its own and not its neighbours'; shuffled, always in the same way, so that
    a slow minute of the machine does not fall on one subset. `watch` is told how many are done, and may raise to stop.
    Mattes that do not lie on this machine are copied into `folder`; where nothing was found the matte is empty. Raises
    NotCutOut at the first photo that fails otherwise.
    """
    by_id = {request_id(example.photo.name): example for example in examples}
    requests = [_request(id, example, profile) for id, example in by_id.items()]
    Random(0).shuffle(requests)

    def look(batch: Batch) -> None:
        for id, result in batch.results.items():
            if result.error is not None and not _nothing_found(result):
                raise NotCutOut(f"{by_id[id].photo}: {result.error.code}: {result.error.message}")
        watch(len(batch.results))

    with Submission(settings.kafka) as submission:
        results = submission.run(requests, in_flight=1, watch=look).results
    fetch = _fetcher(settings, folder)

    def matte(result: Result, example: Example) -> Path:
        return _empty(example, folder / f"{result.id}.png") if _nothing_found(result) else fetch(result)

    predictions = [
        Prediction(example, matte(results[id], example), sum(results[id].timings_ms.values()))
        for id, example in by_id.items()
    ]
    model = next((result.model for result in results.values() if result.model is not None), None)
    return predictions, model, next(iter(results.values())).profile


def _nothing_found(result: Result) -> bool:
    return result.error is not None and result.error.code == UnknownForeground.code


def _empty(example: Example, path: Path) -> Path:
    with Pillow.open(example.mask) as mask:
        Pillow.new("L", mask.size).save(path)
    return path


def _request(id: str, example: Example, profile: str | None) -> Request:
    return Request(id=id, image=files.uri_of(str(example.photo)), profile=profile, outputs=("mask",), format="png")


def _fetcher(settings: Settings, folder: Path) -> Callable[[Result], Path]:
    # What our own worker wrote may be read, whichever buckets requests may name.
    own = settings.objects.model_copy(update={"allowed_buckets": ()})
    objects = ObjectStore(own, settings.limits)

    def fetch(result: Result) -> Path:
        (mask,) = result.objects
        if mask.uri.startswith("file://"):
            return Path(files.path_of(mask.uri))
        path = folder / f"{result.id}.png"
        path.write_bytes(objects.fetch(mask.uri))
        return path

    return fetch
