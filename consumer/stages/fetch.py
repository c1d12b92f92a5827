from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.delivery.places import place_of
from consumer.jobs import Fetched, Job
from consumer.resources.backgrounds import BackgroundStore
from consumer.resources.priority_semaphore import Order
from consumer.resources.sources import Sources
from consumer.resources.untried import Untried, UntriedBackground
from cutstream.contract.recipe import Recipe
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Fetch:
    """Fetch the photo's bytes, and the picture behind the subject if the request names one."""

    sources: Sources
    backgrounds: BackgroundStore
    metrics: Metrics

    def __call__(self, job: Job, recipe: Recipe) -> Fetched:
        picture = recipe.composition.background.picture  # it comes second: nobody decodes one for a photo that is away
        is_last = picture is None or self.backgrounds.has(picture)
        data = self.sources.fetch(recipe.image, job.is_redelivered, is_last)
        self.metrics.source_bytes.inc(len(data))
        background = None if picture is None else self.backgrounds.open(picture, job.is_redelivered)
        return Fetched(data, background, () if background is None else background.warnings)

    @contextmanager
    def admission(self, job: Job, order: Order, give_up: Callable[[], None]) -> Iterator[None]:
        """Hold the right to fetch what the job names, inside the block. Raises Untried instead of a long wait."""
        photo, picture = job.recipe.image, job.recipe.composition.background.picture
        addresses = [photo] if picture is None or self.backgrounds.has(picture) else [photo, picture]
        try:
            with self.sources.admission(addresses, job.is_redelivered, order, give_up):
                yield
        except Untried as exc:
            if exc.place == place_of(photo) or exc.place not in map(place_of, addresses):
                raise
            raise UntriedBackground(f"background: {exc}", exc.reason, exc.place, exc.tried_by_another) from exc
