"""Refuse a request for the addresses that it names, before any work, as far as the addresses alone tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from consumer.jobs import Job
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.backgrounds import is_address
from cutstream.contract.ids import folder_of
from cutstream.errors import RefusedAddress, RefusedBackground, RefusedDestination


def check_addresses(job: Job, objects: ObjectStore) -> None:
    """Raise RefusedAddress, RefusedBackground or RefusedDestination, with a message that names the field."""
    recipe = job.recipe
    with as_destination_errors():
        objects.check_destination(recipe.destination, folder_of(job.id))
    try:
        objects.check_source(recipe.image)
    except RefusedAddress as exc:
        raise type(exc)(f"image: {exc}") from exc
    picture = recipe.composition.background.picture
    if picture is not None and is_address(picture):
        try:
            objects.check_source(picture)
        except RefusedAddress as exc:
            raise RefusedBackground(f"background.image: {exc}", exc.points_to) from exc


@contextmanager
def as_destination_errors() -> Iterator[None]:
    """Turn a refused address into a refused destination, so that nobody looks for the fault in the photo's address."""
    try:
        yield
    except RefusedAddress as exc:
        raise RefusedDestination(f"destination: {exc}", exc.points_to) from exc
