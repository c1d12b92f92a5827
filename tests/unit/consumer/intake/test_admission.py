"""Admission turns a record into a job, or refuses it before any work."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consumer.intake.admission import admit
from cutstream.clients.kafka import Partition, Record
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.contract.sizes import MAX_REQUEST_BYTES
from cutstream.errors import InvalidOption, InvalidProfile, InvalidRequest, Poison, RequestTooLarge, UnreadableRequest
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings

MODELS = ModelSettings(profiles=("general", "precise"), default_profile="general")
EVENT = [("ce_specversion", b"1.0"), ("ce_id", b"event-1"), ("ce_source", b"/shop"), ("ce_type", b"any")]


def record(headers=(), **fields) -> Record:
    value = json.dumps({"image": "s3://photos/chair.jpg", **fields}).encode()
    return Record(Partition("cutout.requests", 2), 41, 0, None, value, list(headers))


def test_a_request_without_a_profile_has_the_default_profile() -> None:
    assert admit(record(), MODELS).profile == "general"
    assert admit(record(profile="precise"), MODELS).profile == "precise"


def test_the_error_for_an_unknown_profile_lists_the_served_profiles() -> None:
    with pytest.raises(InvalidProfile, match=r"'depth' is not served here; .* general, precise"):
        admit(record(profile="depth"), MODELS)


@pytest.mark.parametrize(
    ("headers", "fields", "id"),
    [
        (EVENT, {"id": "mine"}, "mine"),
        (EVENT, {}, "event-1"),
        ([], {"id": "mine"}, "mine"),
        ([], {}, "cutout.requests-2-41"),
        ([*EVENT, ("ce_id", b"no/folder")], {}, "no/folder"),
    ],
)
def test_the_id_comes_from_the_request_or_the_event_or_the_offset(headers, fields, id: str) -> None:
    assert admit(record(headers, **fields), MODELS).id == id


@pytest.mark.parametrize(
    ("fields", "message"),
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
def test_invalid_options_are_refused_before_any_work(fields: dict, message: str) -> None:
    with pytest.raises(Poison, match=message):
        admit(record(**fields), MODELS)


def test_an_opaque_output_can_be_a_jpeg() -> None:
    opaque = admit(record(outputs=["composite", "mask"], format="jpeg"), MODELS).recipe.encoding
    assert opaque.formats == {"composite": "jpeg", "mask": "jpeg"}
    alpha = admit(record(format="jpeg", channels="alpha"), MODELS).recipe.encoding
    assert alpha.formats == {"cutout": "jpeg"}
    with pytest.raises(InvalidOption):
        admit(record(format="jpeg"), MODELS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, PRESETS["soft"]),
        ({"refine": "smooth"}, PRESETS["smooth"]),
        ({"refine": "ours"}, Refinement(open=2)),
        ({"refine": {"close": 3}}, Refinement(close=3)),
    ],
)
def test_a_job_has_parameters_in_place_of_a_presets_name(fields: dict, expected: Refinement) -> None:
    job = admit(record(**fields), MODELS, {**PRESETS, "ours": Refinement(open=2)})
    assert job.recipe.refinement == expected


def test_the_error_for_an_unknown_preset_suggests_a_similar_name() -> None:
    with pytest.raises(InvalidOption, match="'agressive'; did you mean `aggressive`"):
        admit(record(refine="agressive"), MODELS)
    with pytest.raises(InvalidOption, match=r"did you mean `ours`.*known are .*, ours"):
        admit(record(refine="our"), MODELS, {**PRESETS, "ours": Refinement()})


def test_the_error_for_an_unknown_field_suggests_a_similar_name() -> None:
    with pytest.raises(InvalidRequest, match="did you mean `image`"):
        admit(record(imgae="s3://photos/table.jpg"), MODELS)


def test_profile_auto_is_available_if_one_of_its_choices_is_served() -> None:
    models = ModelSettings(profiles=("general", "precise"), default_profile="auto")
    assert (admit(record(), models).profile, admit(record(profile="general"), models).profile) == (AUTO, "general")
    assert admit(record(profile="auto", hint="speed"), MODELS).recipe.hint == "speed"
    with pytest.raises(InvalidOption, match="`hint` is for profile `auto`, not 'general'"):
        admit(record(hint="speed"), MODELS)
    with pytest.raises(InvalidProfile, match=r"'auto' is not served here; the profiles are: general$"):
        admit(record(profile="auto"), ModelSettings(profiles=("general",), default_profile="general"))


def test_a_redelivered_request_keeps_its_origin_and_adds_its_replays() -> None:
    origin = SourceRecord(topic="cutout.requests", partition=7, offset=3, timestamp_ms=9)
    headers = redelivery_headers([], Redelivery(origin, attempts=4, not_before_ms=5, replay=2))
    job = admit(record(headers, replay=1), MODELS)
    assert (job.origin, job.id, job.replay, job.attempts) == (origin, "cutout.requests-7-3", 3, 4)
    with pytest.raises(InvalidRequest, match="leave them out"):
        admit(record([*headers, ("__cutstream.delivery.replay", b"9" * 30)]), MODELS)


def test_a_request_has_at_most_a_million_replays() -> None:
    origin = SourceRecord(topic="cutout.requests", partition=7, offset=3, timestamp_ms=9)
    headers = redelivery_headers([], Redelivery(origin, replay=1))
    assert admit(record(headers, replay=999_999), MODELS).replay == 1_000_000
    with pytest.raises(InvalidRequest, match="`replay`"):
        admit(record(headers, replay=1_000_000), MODELS)


def test_a_request_that_is_too_large_is_refused_before_it_is_looked_at() -> None:
    def refuse(record: Record) -> None:
        raise AssertionError("it was looked at")

    for large in (
        replace(record(), key=b"k" * MAX_REQUEST_BYTES),
        replace(record(), value=b"[" * (MAX_REQUEST_BYTES + 1)),
        record([("tenant", b"x" * MAX_REQUEST_BYTES)]),
        record([("x", b"")] * (MAX_REQUEST_BYTES // 11)),
    ):
        with pytest.raises(RequestTooLarge, match=r"each header with 10 for its lengths.*at most 524288"):
            admit(large, MODELS, refuse=refuse)


def test_a_request_that_its_sender_made_unreadable_is_refused_with_the_reason() -> None:
    unread = replace(record(), key=None, value=b"", headers=[], unread="its 900 bytes unpack to more than 25165824")
    with pytest.raises(UnreadableRequest, match="cannot be read: its 900 bytes unpack to more than 25165824"):
        admit(unread, MODELS)


def test_a_header_counts_ten_bytes_more_than_its_name_and_its_value() -> None:
    first = record()
    room = MAX_REQUEST_BYTES - len(first.value) - len("tenant") - 10
    admit(replace(first, headers=[("tenant", b"x" * room)]), MODELS)
    with pytest.raises(RequestTooLarge, match="the request has 524289 bytes"):
        admit(replace(first, headers=[("tenant", b"x" * (room + 1))]), MODELS)


def test_a_request_of_the_largest_size_is_not_too_large_when_it_is_retried() -> None:
    first = record()
    filled = replace(first, key=b"k" * (MAX_REQUEST_BYTES - len(first.value)))
    origin = SourceRecord(topic="t" * 249, partition=7, offset=3, timestamp_ms=9)
    admit(filled, MODELS)
    admit(replace(filled, headers=redelivery_headers([], Redelivery(origin, attempts=4))), MODELS)
