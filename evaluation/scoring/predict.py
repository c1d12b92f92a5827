"""Have the stack make the mattes: real requests, one photo at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image as Pillow

from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.building import make_request_id
from cutstream.contract.messages import Request, Result, ServedModel
from cutstream.errors import CutstreamError, UnknownForeground
from cutstream.settings import Settings
from evaluation.folder import Example, Photo
from evaluation.scoring.measure import Prediction
from producer.following import Batch, RequestFollower


class NotCutOut(CutstreamError):
    """The stack answered a photo of the evaluation with an error.

    The message has the result's code; docs/errors.md says what to do about it.
    """

    code = "not_cut_out"


class ServedMattes(NamedTuple):
    """Mattes made by a stack, and the model and profile that made them."""

    predictions: list[Prediction]
    model: ServedModel | None
    profile: str | None


def evaluation_settings(settings: Settings, photos: Sequence[Photo], profile: str | None, folder: Path) -> Settings:
    """Adapt the settings for a stack that serves one profile, may read the photos, and writes mattes to `folder`."""
    chosen = profile or settings.models.default_profile
    folders = {photo.path.resolve().parent for photo in photos}
    roots = tuple(sorted({*settings.objects.file_roots, *folders, folder}))
    return settings.model_copy(
        update={
            "models": settings.models.model_copy(update={"profiles": (chosen,), "default_profile": chosen}),
            "objects": settings.objects.model_copy(
                update={"file_roots": roots, "destination": files.uri_of(str(folder))}
            ),
        }
    )


def request_mattes(
    settings: Settings,
    examples: Sequence[Example],
    profile: str | None,
    folder: Path,
    on_progress: Callable[[int], None],
) -> ServedMattes:
    """Request the mask of every example, at the photo's size as the worker delivers it.

    One request is in flight at a time, so that a photo's time is its own. The order is shuffled, always in the same
    way, so that a slow minute of the machine does not fall on one subset. `on_progress` gets the number of photos done
    and may raise to stop. Mattes that are not on this machine are copied into `folder`. A photo without a subject gets
    an empty matte. Raises NotCutOut at the first photo that fails for another reason.
    """
    by_id = {make_request_id(example.path.name): example for example in examples}
    requests = [_request(id, example, profile) for id, example in by_id.items()]
    Random(0).shuffle(requests)

    def check_results(batch: Batch) -> None:
        for id, result in batch.results.items():
            if result.error is not None and not _has_no_subject(result):
                raise NotCutOut(f"{by_id[id].path}: {result.error.code}: {result.error.message}")
        on_progress(len(batch.results))

    with RequestFollower(settings.kafka) as follower:
        results = follower.follow(requests, max_in_flight=1, on_progress=check_results).results
    fetch = _mask_fetcher(settings, folder)

    def matte(result: Result, example: Example) -> Path:
        return _write_empty(example, folder / f"{result.id}.png") if _has_no_subject(result) else fetch(result)

    predictions = [
        Prediction(example, matte(results[id], example), sum(results[id].timings_ms.values()))
        for id, example in by_id.items()
    ]
    model = next((result.model for result in results.values() if result.model is not None), None)
    return ServedMattes(predictions, model, next(iter(results.values())).profile)


def _has_no_subject(result: Result) -> bool:
    return result.error is not None and result.error.code == UnknownForeground.code


def _write_empty(example: Example, path: Path) -> Path:
    with Pillow.open(example.mask) as mask:
        Pillow.new("L", mask.size).save(path)
    return path


def _request(id: str, example: Example, profile: str | None) -> Request:
    return Request(id=id, image=files.uri_of(str(example.path)), profile=profile, outputs=("mask",), format="png")


def _mask_fetcher(settings: Settings, folder: Path) -> Callable[[Result], Path]:
    # The allowed buckets limit requests, not what the worker itself wrote.
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
