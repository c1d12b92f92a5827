from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

from consumer.pipeline import Dependencies, build_pipeline
from consumer.resources.priority_semaphore import PrioritySemaphore
from docs.generate import documents as docs

ORDER = ["fetch", "decode", "segment", "refine", "compose", "encode", "store"]


def dependencies() -> Dependencies:
    stand_ins = {name: SimpleNamespace() for name in inspect.signature(Dependencies).parameters}
    slots = {f"{name}_slots": PrioritySemaphore(1) for name in ("fetch", "store", "decoder", "segment", "cpu")}
    return Dependencies(**{**stand_ins, **slots})


def test_a_photo_passes_the_stages_in_this_order() -> None:
    assert [stage.name for stage in build_pipeline(dependencies()).stages] == ORDER


def test_stages_of_one_kind_of_work_share_its_slots() -> None:
    d = dependencies()
    slots = {stage.name: stage.slots for stage in build_pipeline(d).stages}
    assert (slots["fetch"], slots["store"]) == (d.fetch_slots, d.store_slots)  # no download holds up a finished photo
    assert {name for name, shared in slots.items() if shared is d.cpu_slots} == {"refine", "compose", "encode"}
    assert (slots["decode"], slots["segment"]) == (d.decoder_slots, d.segment_slots)


def test_the_documented_stages_have_the_same_order() -> None:
    page = (docs.FOLDER / "architecture.md").read_text(encoding="utf-8")
    section = re.search(r"^## [^\n]*flow[^\n]*\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    assert section, "docs/architecture.md has no section on the flow"
    named = re.findall(r"^(?:\d+\.|\*|-) \*\*(\w+)\*\*", section[1], re.MULTILINE)
    assert [name for name in named if name in ORDER] == ORDER
