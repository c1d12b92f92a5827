"""A record becomes a job, or is refused before any work."""

from __future__ import annotations

import json

import pytest

from consumer.intake.admission import admit
from cutstream.clients.kafka import Partition, Record
from cutstream.errors import InvalidOption, InvalidProfile, InvalidRequest, Poison
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings

MODELS = ModelSettings(profiles=("general", "precise"), default_profile="general")
EVENT = [("ce_specversion", b"1.0"), ("ce_id", b"event-1"), ("ce_source", b"/shop"), ("ce_type", b"any")]


def record(headers=(), **fields) -> Record:
    value = json.dumps({"image": "s3://photos/chair.jpg", **fields}).encode()
    return Record(Partition("cutout.requests", 2), 41, 0, None, value, list(headers))


def test_the_deployments_profile_stands_in_for_none() -> None:
    assert admit(record(), MODELS).profile == "general"
    assert admit(record(profile="precise"), MODELS).profile == "precise"


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidProfile, match=r"'depth' is not served here; .* general, precise"):
        admit(record(profile="depth"), MODELS)


@pytest.mark.parametrize(
    ("headers", "fields", "id"),
    [
        (EVENT, {"id": "mine"}, "mine"),
        (EVENT, {}, "event-1"),
        ([], {"id": "mine"}, "mine"),
        ([], {}, "cutout.requests-2-41"),
        ([*EVENT, ("ce_id", b"no/folder")], {}, "cutout.requests-2-41"),
    ],
)
def test_the_id_is_the_requests_then_the_events_then_where_it_lies(headers, fields, id: str) -> None:
    assert admit(record(headers, **fields), MODELS).id == id


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"format": "jpeg"}, "transparency"),
        ({"outputs": ["composite", "cutout"], "format": "jpeg"}, "transparency"),
        ({"refine": "nope"}, "nope"),
        ({"roi": "1 2 3"}, "roi"),
        ({"crop_margin": "5%"}, "crop"),
        ({"crop": True, "crop_margin": "five"}, "five"),
        ({"background": {"color": "nope"}}, "background.color"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_work(fields: dict, named: str) -> None:
    with pytest.raises(Poison, match=named):
        admit(record(**fields), MODELS)


def test_an_opaque_output_may_be_a_jpeg() -> None:
    assert admit(record(outputs=["composite", "mask"], format="jpeg"), MODELS)
    assert admit(record(format="jpeg", channels="alpha"), MODELS)
    with pytest.raises(InvalidOption):
        admit(record(format="jpeg"), MODELS)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, PRESETS["soft"]),
        ({"refine": "smooth"}, PRESETS["smooth"]),
        ({"refine": "ours"}, Refinement(open=2)),
        ({"refine": {"close": 3}}, Refinement(close=3)),
    ],
)
def test_after_admission_there_are_parameters_only(asked: dict, meant: Refinement) -> None:
    assert admit(record(**asked), MODELS, {**PRESETS, "ours": Refinement(open=2)}).recipe.refinement == meant


def test_a_preset_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidOption, match="'agressive'; did you mean `aggressive`"):
        admit(record(refine="agressive"), MODELS)
    with pytest.raises(InvalidOption, match=r"did you mean `ours`.*known are .*, ours"):
        admit(record(refine="our"), MODELS, {**PRESETS, "ours": Refinement()})


def test_what_is_no_request_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidRequest, match="did you mean `image`"):
        admit(record(imgae="s3://photos/table.jpg"), MODELS)


def test_auto_is_a_profile_where_one_of_its_choices_is_served() -> None:
    models = ModelSettings(profiles=("general", "precise"), default_profile="auto")
    assert (admit(record(), models).profile, admit(record(profile="general"), models).profile) == (AUTO, "general")
    assert admit(record(profile="auto", hint="speed"), MODELS).recipe.hint == "speed"
    with pytest.raises(InvalidOption, match="`hint` is for profile `auto`, not 'general'"):
        admit(record(hint="speed"), MODELS)
    with pytest.raises(InvalidProfile, match=r"'auto' is not served here; the profiles are: general$"):
        admit(record(profile="auto"), ModelSettings(profiles=("general",), default_profile="general"))
