"""Say before requests are sent which of them a worker would refuse for the addresses that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.backgrounds import is_address
from cutstream.errors import Poison, RefusedAddress, RefusedBackground, RefusedDestination
from cutstream.settings import LimitSettings, ObjectSettings

_SHOWN = 3
_MOST_HELD = 10_000

T = TypeVar("T")
Refusal = Callable[[str], Poison | None]


def refusal_by(objects: ObjectSettings, limits: LimitSettings, fields: Mapping[str, Any]) -> Refusal:
    """Return a function that says why a worker with these settings would refuse a photo with these request fields.

    Its errors name the field. What only the photo's server knows, such as whether the photo exists, is not asked.
    """
    store = ObjectStore(objects, limits)
    if common := _common_refusal(store, fields):
        return lambda reference: common

    def refusal(reference: str) -> Poison | None:
        try:
            store.check_source(reference)
        except RefusedAddress as exc:
            return type(exc)(f"image: {exc}")
        return None

    return refusal


def _common_refusal(store: ObjectStore, fields: Mapping[str, Any]) -> Poison | None:
    """Return why a worker would refuse every request with these fields, whatever its photo."""
    destination, background = fields.get("destination"), fields.get("background")
    try:
        store.check_destination(destination if isinstance(destination, str) else None)
    except RefusedAddress as exc:
        return RefusedDestination(f"destination: {exc}")
    picture = background.get("image") if isinstance(background, Mapping) else None
    try:
        if isinstance(picture, str) and is_address(picture):
            store.check_source(picture)
    except RefusedAddress as exc:
        return RefusedBackground(f"background.image: {exc}")
    return None


def warn_of_refusals(
    photos: Iterable[T], refusal: Refusal, warn: Callable[[str], None], address_of: Callable[[T], str]
) -> Iterator[T]:
    """Yield the photos. Before the first that would be refused, warn; at the end, say how many there were.

    Raises the error of the last one before it yields anything if all of them, or the first ten thousand, would be
    refused.
    """
    refused: list[Poison] = []
    count = 0
    held: list[T] | None = []  # until one is not refused
    for photo in photos:
        problem = refusal(address_of(photo))
        if problem is not None:
            count += 1
            last = problem
            if count <= _SHOWN and str(problem) not in map(str, refused):
                warn(f"a worker with these settings would refuse a request: {problem}")
                refused.append(problem)
        if held is None:
            yield photo
            continue
        held.append(photo)
        if problem is None:
            yield from held
            held = None
        elif len(held) >= _MOST_HELD:
            break
    if held:
        raise type(last)(
            f"nothing was sent: each of these {len(held)} requests would fail and leave a dead letter. Correct the "
            "setting, for the worker and for this command; or, if the worker has other settings, add --anyway"
        )
    if count > _SHOWN:
        warn(f"{count} requests in all would be refused")
