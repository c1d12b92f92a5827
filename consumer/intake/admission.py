"""Admission: a record becomes a job, or is refused before any work if it cannot succeed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consumer.jobs import Job, delivery_of, origin_id
from cutstream.clients.kafka import Record
from cutstream.contract.envelope import open_envelope
from cutstream.contract.messages import MAX_REPLAY, Request, decode_request
from cutstream.contract.recipe import parse_recipe
from cutstream.contract.redelivery import Redelivery
from cutstream.contract.sizes import check_size
from cutstream.errors import InvalidOption, InvalidProfile, InvalidRequest, UnreadableRequest
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings


def admit(
    record: Record,
    models: ModelSettings,
    presets: Mapping[str, Refinement] = PRESETS,
    refuse: Callable[[Record], None] = lambda record: None,
) -> Job:
    """Parse a record into a job. Raises Poison, with a message that names the field.

    `refuse` is called before a record is parsed: it may raise to refuse the record, whether it can be parsed or not.
    """
    if record.unread:
        raise UnreadableRequest(f"the request's record cannot be read: {record.unread}")
    check_size(record.key, record.value, record.headers)
    refuse(record)
    delivery = delivery_of(record)
    envelope = open_envelope(record.value, record.headers)
    request = decode_request(envelope.payload)
    return Job(
        record=record,
        origin=delivery.origin,
        id=request.id or envelope.id or origin_id(delivery.origin),
        profile=_served_profile(request, models),
        recipe=parse_recipe(request, presets),
        labels=request.labels,
        replay=_replay(request, delivery),
        attempts=delivery.attempts,
        untried=delivery.untried,
        trace=envelope.trace,
    )


def _replay(request: Request, delivery: Redelivery) -> int:
    replay = request.replay + delivery.replay
    if replay > MAX_REPLAY:
        raise InvalidRequest(f"`replay`: the request has been replayed more than {MAX_REPLAY} times")
    return replay


def _served_profile(request: Request, models: ModelSettings) -> str:
    profile = request.profile or models.default_profile
    served = (*models.profiles, AUTO) if models.auto_profiles else models.profiles
    if profile not in served:
        raise InvalidProfile(f"profile {profile!r} is not served here; the profiles are: {', '.join(served)}")
    if request.hint and profile != AUTO:
        raise InvalidOption(f"`hint` is for profile `auto`, not {profile!r}")
    return profile
