"""Say before requests are sent which of them a worker would refuse for the addresses that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.backgrounds import is_address
from cutstream.errors import AddressNotAllowed, RefusedAddress
from cutstream.settings import LimitSettings, ObjectSettings

_SHOWN = 3

Refusal = Callable[[str], RefusedAddress | None]


def refusal_by(objects: ObjectSettings, limits: LimitSettings, fields: Mapping[str, Any]) -> Refusal:
    """Return a function that says why a worker with these settings would refuse a photo with these request fields.

    What only the photo's server knows, such as whether the photo exists, is not asked.
    """
    store = ObjectStore(objects, limits)
    try:
        destination = fields.get("destination")
        store.check_destination(destination if isinstance(destination, str) else None)
        background = fields.get("background")
        picture = background.get("image") if isinstance(background, Mapping) else None
        if isinstance(picture, str) and is_address(picture):
            store.check_source(picture)
    except RefusedAddress as exc:
        common = exc
        return lambda reference: common

    def refusal(reference: str) -> RefusedAddress | None:
        try:
            store.check_source(reference)
        except RefusedAddress as exc:
            return exc
        return None

    return refusal


def warn_of_refusals(references: Iterable[str], refusal: Refusal, warn: Callable[[str], None]) -> Iterator[str]:
    """Yield the references. Before the first that would be refused, warn; at the end, say how many there were.

    Raises AddressNotAllowed before it yields anything if all of them would be refused.
    """
    refused: list[str] = []
    held: list[str] | None = []  # until one is not refused
    for reference in references:
        problem = refusal(reference)
        if problem is not None:
            refused.append(reference)
            if len(refused) <= _SHOWN:
                warn(f"a worker with these settings would refuse a photo: {problem}")
        if held is None:
            yield reference
            continue
        held.append(reference)
        if problem is None:
            yield from held
            held = None
    if held:
        raise AddressNotAllowed(
            f"nothing was sent: each of these {len(held)} requests would fail and leave a dead letter. Correct the "
            "setting, for the worker and for this command; or, if the worker has other settings, add --anyway"
        )
    if len(refused) > _SHOWN:
        warn(f"{len(refused)} photos in all would be refused")
