from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

from consumer.jobs import Encoded, File, Findings, Segmentation
from consumer.pipeline import Dependencies, build_pipeline
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.profile_selector import Selection
from consumer.stages.refine import Refine
from cutstream.clients.triton import Ensemble
from cutstream.images.geometry import Box
from docs.generate import documents as docs
from tests.support.jobs import job_of

FINDINGS = Findings(Box(0, 0, 1, 1), 0.5, Segmentation(Selection("fast"), Ensemble("cutout_fast", "1", 8, 8, 1), 0.1))
ORDER = ["fetch", "decode", "segment", "refine", "compose", "encode", "store"]


def dependencies() -> Dependencies:
    stand_ins = {name: SimpleNamespace(to_profile=None) for name in inspect.signature(Dependencies).parameters}
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


def test_a_photo_whose_matting_is_being_compiled_waits_before_it_takes_memory() -> None:
    stages = {stage.name: stage for stage in build_pipeline(dependencies()).stages}
    asking = [name for name, stage in stages.items() if isinstance(getattr(stage.admission, "__self__", None), Refine)]
    assert asking == [name for name, stage in stages.items() if stage.memory is not None] == ["decode"]


def test_an_encoded_photo_holds_no_pixels_any_more() -> None:
    (encode,) = (stage for stage in build_pipeline(dependencies()).stages if stage.name == "encode")
    files = tuple(File("cutout", bytes(size), "image/png", "png", 100, 100) for size in (300, 50))
    assert encode.kept is not None
    assert encode.kept(job_of(), Encoded(files, FINDINGS)) == 350


def test_the_documented_stages_have_the_same_order() -> None:
    page = (docs.FOLDER / "architecture.md").read_text(encoding="utf-8")
    section = re.search(r"^## [^\n]*flow[^\n]*\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    assert section, "docs/architecture.md has no section on the flow"
    named = re.findall(r"^(?:\d+\.|\*|-) \*\*(\w+)\*\*", section[1], re.MULTILINE)
    assert [name for name in named if name in ORDER] == ORDER
