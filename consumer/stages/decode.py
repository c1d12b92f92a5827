from __future__ import annotations

from consumer.budget import Budget
from consumer.decoders import DecoderPool
from consumer.jobs import Job
from cutstream.images import Image
from cutstream.images.header import read_header
from cutstream.metrics import Metrics

# Peak of what a photo holds per source pixel between decode and store: RGB and its matte (4), the RGBA cutout and
# the composite (7), the encoder's output and scratch (5).
BYTES_PER_PIXEL = 16


def decode(pool: DecoderPool, budget: Budget, metrics: Metrics, max_pixels: int, job: Job, data: bytes) -> Image:
    """Refuses from the header, waits for memory until the whole way of this photo fits, then decodes."""
    header = read_header(data, max_pixels)
    pixels = header.width * header.height
    job.lease.enter_context(budget.reserve(pixels * BYTES_PER_PIXEL))
    metrics.source_pixels.inc(pixels)
    return pool.decode(data, header)
