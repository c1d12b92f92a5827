"""A record becomes a job: parsed, checked, and refused before any work when it cannot succeed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from consumer.jobs import Job
from cutstream.clients.kafka import Record
from cutstream.contract.envelope import open_envelope
from cutstream.contract.messages import AUTO, Request, decode_request
from cutstream.contract.recipe import parameters_of, parse_recipe
from cutstream.errors import InvalidOption, InvalidProfile
from cutstream.matting.presets import PRESETS
from cutstream.matting.specs import Refinement
from cutstream.settings import ModelSettings


def open_job(models: ModelSettings, record: Record, presets: Mapping[str, Refinement] = PRESETS) -> Job:
    """Raises Poison, with a message that names the field. The job's `refine` are parameters, whatever named them."""
    envelope = open_envelope(record.value, record.headers)
    request = decode_request(envelope.payload)
    profile = _profile(request, models)
    recipe = parse_recipe(request, presets)
    request = msgspec.structs.replace(request, refine=parameters_of(recipe.refinement))
    return Job(
        record=record,
        request=request,
        id=request.id or envelope.id or origin_id(record),
        profile=profile,
        auto=profile == AUTO,
        trace=envelope.trace,
    )


def _profile(request: Request, models: ModelSettings) -> str:
    profile = request.profile or models.default_profile
    served = (*models.profiles, AUTO) if models.auto_profiles else models.profiles
    if profile not in served:
        raise InvalidProfile(f"profile {profile!r} is not served here; the profiles are: {', '.join(served)}")
    if request.hint and profile != AUTO:
        raise InvalidOption(f"`hint` is for profile `auto`, not {profile!r}")
    return profile


def origin_id(record: Record) -> str:
    """The id of a request that brings none: where it lies, which is unique and stays the same on every attempt."""
    return f"{record.partition.topic}-{record.partition.number}-{record.offset}"
