"""A record becomes a job, or is refused before any work."""

from __future__ import annotations

import json

import pytest

from consumer.intake.admission import open_job
from cutstream.clients.kafka import Partition, Record
from cutstream.contract.recipe import refinement_of
from cutstream.errors import InvalidOption, InvalidProfile, InvalidRequest, Poison
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement
from cutstream.settings import ModelSettings

MODELS = ModelSettings(profiles=("general", "precise"), default_profile="general")
EVENT = [("ce_specversion", b"1.0"), ("ce_id", b"event-1"), ("ce_source", b"/shop"), ("ce_type", b"any")]


def record(headers=(), **fields) -> Record:
    value = json.dumps({"image": "s3://photos/chair.jpg", **fields}).encode()
    return Record(Partition("cutout.requests", 2), 41, 0, None, value, list(headers))


def test_the_deployments_profile_stands_in_for_none() -> None:
    assert open_job(MODELS, record()).profile == "general"
    assert open_job(MODELS, record(profile="precise")).profile == "precise"


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidProfile, match=r"'depth' is not served here; .* general, precise"):
        open_job(MODELS, record(profile="depth"))


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
    assert open_job(MODELS, record(headers, **fields)).id == id


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
        open_job(MODELS, record(**fields))


def test_an_opaque_output_may_be_a_jpeg() -> None:
    assert open_job(MODELS, record(outputs=["composite", "mask"], format="jpeg"))
    assert open_job(MODELS, record(format="jpeg", channels="alpha"))
    with pytest.raises(InvalidOption):
        open_job(MODELS, record(format="jpeg"))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, PRESETS["soft"]),
        ({"refine": "smooth"}, PRESETS["smooth"]),
        ({"refine": "ours"}, Refinement(open=2)),
        ({"refine": {"close": 3}}, Refinement(close=3)),
    ],
)
def test_after_opening_there_are_parameters_only(asked: dict, meant: Refinement) -> None:
    job = open_job(MODELS, record(**asked), {**PRESETS, "ours": Refinement(open=2)})
    assert refinement_of(job.request.refine) == meant


def test_a_preset_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidOption, match="'agressive'; did you mean `aggressive`"):
        open_job(MODELS, record(refine="agressive"))
    with pytest.raises(InvalidOption, match=r"did you mean `ours`.*known are .*, ours"):
        open_job(MODELS, record(refine="our"), {**PRESETS, "ours": Refinement()})


def test_what_is_no_request_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidRequest, match="did you mean `image`"):
        open_job(MODELS, record(imgae="s3://photos/table.jpg"))


def test_auto_is_a_profile_where_one_of_its_choices_is_served() -> None:
    models = ModelSettings(profiles=("general", "precise"), default_profile="auto")
    assert (open_job(models, record()).auto, open_job(models, record(profile="general")).auto) == (True, False)
    assert open_job(MODELS, record(profile="auto", hint="speed")).request.hint == "speed"
    with pytest.raises(InvalidOption, match="`hint` is for profile `auto`, not 'general'"):
        open_job(MODELS, record(hint="speed"))
    with pytest.raises(InvalidProfile, match=r"'auto' is not served here; the profiles are: general$"):
        open_job(ModelSettings(profiles=("general",), default_profile="general"), record(profile="auto"))
