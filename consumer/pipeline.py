"""The flow, on one screen: what a photo passes, in order. Nothing else decides the order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from consumer.resources.backgrounds import Backgrounds
from consumer.resources.decoders import DecoderPool
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.runner import Stage
from consumer.stages.compose import compose
from consumer.stages.decode import decode
from consumer.stages.encode import encode
from consumer.stages.fetch import fetch
from consumer.stages.refine import refine
from consumer.stages.segment import Segmenter
from consumer.stages.store import store
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.objects.store import ObjectStore
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Parts:
    """What the stages work with. `io`, `decoding`, `cpu` and `gathering` bound the photos in each kind of work."""

    objects: ObjectStore
    backgrounds: Backgrounds
    decoders: DecoderPool
    budget: MemoryBudget
    segmenter: Segmenter
    ops: ArrayOps
    metrics: Metrics
    max_pixels: int
    io: PrioritySemaphore
    decoding: PrioritySemaphore
    gathering: PrioritySemaphore
    cpu: PrioritySemaphore


def build_pipeline(p: Parts) -> tuple[Stage, ...]:
    return (  #                                                                               in        -> out
        Stage("fetch", partial(fetch, p.objects, p.backgrounds, p.metrics), p.io),  #         Request   -> bytes
        Stage("decode", partial(decode, p.decoders, p.budget, p.metrics, p.ops, p.max_pixels), p.decoding),  # -> Image
        Stage("segment", p.segmenter, p.gathering),  #                                        Image     -> Segmented
        Stage("refine", partial(refine, p.ops), p.cpu),  #                                    Segmented -> Segmented
        Stage("compose", partial(compose, p.ops), p.cpu),  #                                  Segmented -> Composed
        Stage("encode", partial(encode, p.ops), p.cpu),  #                                    Composed  -> Encoded
        Stage("store", partial(store, p.objects, p.metrics), p.io),  #                        Encoded   -> Stored
    )  #                                                       the loop commits the result and its offset together
