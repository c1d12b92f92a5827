"""The flow on one screen: the stages that a photo passes through, in order. Nothing else decides the order."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.jobs import Composed, Decoded, Encoded, Fetched, Refined, Segmented, Stored
from consumer.resources.backgrounds import BackgroundStore
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.destinations import Destinations
from consumer.resources.long_work import LongWork
from consumer.resources.matting_code import MattingCode
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.sources import Sources
from consumer.runner import Pipeline, Stage
from consumer.stages.compose import Compose
from consumer.stages.decode import Decode
from consumer.stages.encode import Encode
from consumer.stages.fetch import Fetch
from consumer.stages.refine import Refine
from consumer.stages.segment import Segment
from consumer.stages.store import Store
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.recipe import Recipe
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Dependencies:
    """The parts that the stages work with. The slots limit how many photos are in each kind of work at once."""

    objects: ObjectStore
    sources: Sources
    backgrounds: BackgroundStore
    destinations: Destinations
    decoders: DecoderPool
    segment: Segment  # built with the worker, because it keeps a micro-batcher for each profile
    ops: ArrayOps
    matting_code: MattingCode
    long_work: LongWork
    metrics: Metrics
    max_pixels: int
    fetch_slots: PrioritySemaphore
    store_slots: PrioritySemaphore
    decoder_slots: PrioritySemaphore
    segment_slots: PrioritySemaphore
    cpu_slots: PrioritySemaphore


def build_pipeline(d: Dependencies) -> Pipeline[Recipe, Stored]:
    """Build the pipeline. Memory is reserved before `decode` and released after `encode`, but for the files' bytes.

    So is the permit for work that takes long.
    """
    fetch = Fetch(d.sources, d.backgrounds, d.metrics)
    decode = Decode(d.decoders, d.ops, d.metrics, d.max_pixels, d.long_work)
    refine = Refine(d.ops, d.matting_code)
    encode = Encode(d.ops, d.decoders.to_profile)
    store = Store(d.objects, d.destinations, d.metrics)
    return (
        Stage[Recipe, Fetched]("fetch", fetch, d.fetch_slots, admission=fetch.admission)
        | Stage[Fetched, Decoded](
            "decode",
            decode,
            d.decoder_slots,
            decode.needed_bytes,
            decode.kept_bytes,
            admission=refine.admission,
            permit=decode.permit,
        )
        | Stage[Decoded, Segmented]("segment", d.segment, d.segment_slots)
        | Stage[Segmented, Refined]("refine", refine, d.cpu_slots, takes_permit=True)
        | Stage[Refined, Composed]("compose", Compose(d.ops), d.cpu_slots, takes_permit=True)
        | Stage[Composed, Encoded](
            "encode", encode, d.cpu_slots, kept=encode.kept_bytes, takes_permit=True, ends_permit=True
        )
        | Stage[Encoded, Stored]("store", store, d.store_slots, admission=store.admission)
    )  # Then the main loop commits the result and its offset together: consumer/loop.py, consumer/delivery/.
