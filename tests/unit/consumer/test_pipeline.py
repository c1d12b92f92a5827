from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

from consumer.pipeline import Parts, build_pipeline
from consumer.resources.priority_semaphore import PrioritySemaphore
from docs.generate import documents as docs

ORDER = ["fetch", "decode", "segment", "refine", "compose", "encode", "store"]


def parts() -> Parts:
    stand_ins = {name: SimpleNamespace() for name in inspect.signature(Parts).parameters}
    places = {name: PrioritySemaphore(1) for name in ("io", "decoding", "gathering", "cpu")}
    return Parts(**{**stand_ins, **places})


def test_a_photo_passes_the_stages_in_this_order() -> None:
    assert [stage.name for stage in build_pipeline(parts())] == ORDER


def test_stages_of_one_kind_of_work_share_its_places() -> None:
    p = parts()
    places = {stage.name: stage.slots for stage in build_pipeline(p)}
    assert {name for name, shared in places.items() if shared is p.io} == {"fetch", "store"}
    assert {name for name, shared in places.items() if shared is p.cpu} == {"refine", "compose", "encode"}
    assert (places["decode"], places["segment"]) == (p.decoding, p.gathering)


def test_the_documented_flow_has_the_same_order() -> None:
    page = (docs.FOLDER / "architecture.md").read_text(encoding="utf-8")
    section = re.search(r"^## [^\n]*flow[^\n]*\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    assert section, "docs/architecture.md has no section on the flow"
    named = re.findall(r"^(?:\d+\.|\*|-) \*\*(\w+)\*\*", section[1], re.MULTILINE)
    assert [name for name in named if name in ORDER] == ORDER
