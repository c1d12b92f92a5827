from __future__ import annotations

from dataclasses import dataclass, replace

from consumer.jobs import Decoded, Fetched, Job
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.long_work import LongWork
from consumer.resources.memory_budget import needed_bytes
from consumer.resources.priority_semaphore import PrioritySemaphore
from cutstream.arrays.ops import ArrayOps
from cutstream.images.header import read_header
from cutstream.images.memory import decoder_bytes
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Decode:
    """Turn the photo's bytes into pixels. They go to the device here and stay there until `encode`."""

    decoders: DecoderPool
    ops: ArrayOps
    metrics: Metrics
    max_pixels: int
    long_work: LongWork

    def needed_bytes(self, job: Job, fetched: Fetched) -> int:
        """Return what this photo holds at most: while it is decoded, or from then on to `store`.

        Refuses a photo by its header alone.
        """
        header, recipe = read_header(fetched.data, self.max_pixels), job.recipe
        later = needed_bytes(recipe.composition, header.pixels, recipe.matting)
        return max(later, decoder_bytes(header, len(fetched.data)))

    def kept_bytes(self, job: Job, decoded: Decoded) -> int:
        """Return what this photo holds at most once it is decoded, to `store`."""
        pixels = decoded.image.height * decoded.image.width
        return needed_bytes(job.recipe.composition, pixels, job.recipe.matting)

    def permit(self, job: Job, fetched: Fetched) -> PrioritySemaphore | None:
        """Return what the photo has to hold until it is encoded, if that takes long. Raises TakesLong."""
        header = read_header(fetched.data, self.max_pixels)
        return self.long_work.permit(job.recipe, header.pixels, job.is_redelivered, self.needed_bytes(job, fetched))

    def __call__(self, job: Job, fetched: Fetched) -> Decoded:
        header = read_header(fetched.data, self.max_pixels)  # a second time, at 2 to 40 µs
        image = self.decoders.decode(fetched.data, header)
        with self.ops.errors():
            alpha = None if image.alpha is None else self.ops.to_device(image.alpha)
            image = replace(image, pixels=self.ops.to_device(image.pixels), alpha=alpha)
        self.metrics.source_pixels.inc(header.pixels)
        return Decoded(image, fetched.background)
