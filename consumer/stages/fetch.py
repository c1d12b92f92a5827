from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Fetched, Job
from consumer.resources.backgrounds import BackgroundStore
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.recipe import Recipe
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Fetch:
    """Fetch the photo's bytes, and the picture behind the subject if the request names one."""

    objects: ObjectStore
    backgrounds: BackgroundStore
    metrics: Metrics

    def __call__(self, job: Job, recipe: Recipe) -> Fetched:
        # The background comes first: it is kept for the next attempt if the source is away, and the source is not.
        picture = recipe.composition.background.picture
        background = None if picture is None else self.backgrounds.open(picture)
        data = self.objects.fetch(recipe.image)
        self.metrics.source_bytes.inc(len(data))
        return Fetched(data, background, () if background is None else background.warnings)
