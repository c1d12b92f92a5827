"""Say before requests are sent which of them a worker would refuse for the addresses that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.backgrounds import is_address
from cutstream.errors import Poison, RefusedAddress, RefusedBackground, RefusedDestination
from cutstream.settings import LimitSettings, ObjectSettings

_SHOWN = 3

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


def warn_of_refusals(references: Iterable[str], refusal: Refusal, warn: Callable[[str], None]) -> Iterator[str]:
    """Yield the references. Before the first that would be refused, warn; at the end, say how many there were.

    Raises the error of the last one before it yields anything if all of them would be refused.
    """
    refused: list[Poison] = []
    held: list[str] | None = []  # until one is not refused
    for reference in references:
        problem = refusal(reference)
        if problem is not None:
            refused.append(problem)
            if len(refused) <= _SHOWN and str(problem) not in map(str, refused[:-1]):
                warn(f"a worker with these settings would refuse a request: {problem}")
        if held is None:
            yield reference
            continue
        held.append(reference)
        if problem is None:
            yield from held
            held = None
    if held:
        raise type(refused[-1])(
            f"nothing was sent: each of these {len(held)} requests would fail and leave a dead letter. Correct the "
            "setting, for the worker and for this command; or, if the worker has other settings, add --anyway"
        )
    if len(refused) > _SHOWN:
        warn(f"{len(refused)} requests in all would be refused")
