"""The flow, on one screen: what a photo passes, in order. Nothing else decides the order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from consumer.backgrounds import Backgrounds
from consumer.budget import Budget
from consumer.decoders import DecoderPool
from consumer.places import Places
from consumer.runner import Stage
from consumer.stages.compose import compose
from consumer.stages.decode import decode
from consumer.stages.encode import encode
from consumer.stages.fetch import fetch
from consumer.stages.refine import refine
from consumer.stages.segment import Segmenter
from consumer.stages.store import store
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.objects import Objects
from cutstream.metrics import Metrics


@dataclass(frozen=True)
class Parts:
    """What the stages work with. `io`, `decoding`, `cpu` and `gathering` bound the photos in each kind of work."""

    objects: Objects
    backgrounds: Backgrounds
    decoders: DecoderPool
    budget: Budget
    segmenter: Segmenter
    ops: ArrayOps
    metrics: Metrics
    max_pixels: int
    io: Places
    decoding: Places
    gathering: Places
    cpu: Places


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
