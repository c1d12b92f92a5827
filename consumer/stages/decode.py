from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from consumer.jobs import Job
from consumer.resources.decoders import DecoderPool
from consumer.resources.memory_budget import MemoryBudget, needed_bytes
from cutstream.arrays.ops import ArrayOps
from cutstream.images import Image
from cutstream.images.header import read_header
from cutstream.metrics import Metrics


def decode(
    pool: DecoderPool, budget: MemoryBudget, metrics: Metrics, ops: ArrayOps, max_pixels: int, job: Job, data: bytes
) -> Image:
    """Refuses from the header, waits for memory until the whole way of this photo fits, then decodes.

    The photo goes to the device here and stays there until `encode`.
    """
    header = read_header(data, max_pixels)
    with ExitStack() as reserved:  # a device whose memory is full makes this try again, with a new reservation
        reserved.enter_context(budget.reserve(needed_bytes(job.request, header.pixels)))
        image = pool.decode(data, header)
        with ops.errors():
            alpha = None if image.alpha is None else ops.to_device(image.alpha)
            image = replace(image, pixels=ops.to_device(image.pixels), alpha=alpha)
        metrics.source_pixels.inc(header.pixels)
        job.lease.push(reserved.pop_all())
        return image
