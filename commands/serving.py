"""Choose the stack that a command sends its photos to, and start one where none is running.

Consumer, deploy and export do not know each other; this module puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from commands.console import say
from commands.preflight import check_deployment
from cutstream.errors import InvalidProfile
from cutstream.profiles import AUTO, known_profiles

if TYPE_CHECKING:
    from cutstream.settings import ObjectSettings, Settings
    from deploy.local.running import RunningStack
    from evaluation.folder import Photo


@contextmanager
def serving_stack(
    settings: Settings, photos: Sequence[Photo], profile: str | None, mattes: Path
) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Yield the settings of a stack that serves the profile, and a function that keeps it running or raises StackError.

    A broker that the settings name is always used. Otherwise the local stack is used if its Kafka answers; if not, this
    starts a stack that serves the one profile, reads the photos and writes to `mattes`, and stops it afterwards.
    """
    from cutstream.clients.kafka import check_topics
    from cutstream.settings import addressed, identity_of
    from evaluation.scoring.predict import evaluation_settings

    if not settings.kafka.bootstrap_servers:
        from deploy.local.kafka import is_ready

        if not is_ready(settings.stack.kafka_port, identity=identity_of(settings.stack)):
            check_profiles([profile])
            with own_stack(evaluation_settings(settings, photos, profile, mattes)) as stack:
                yield stack.settings, stack.check
            return
    running = addressed(settings)
    check_topics(running.kafka)
    yield running, lambda: None


@contextmanager
def own_stack(settings: Settings) -> Iterator[RunningStack]:
    """Run a stack with a temporary state folder until the block is left.

    Raises ConfigurationError, before anything starts, if the settings cannot work.
    """
    import consumer
    from deploy.local.running import running_stack
    from deploy.local.state import throwaway

    check_deployment(settings)
    with throwaway(settings) as own, running_stack(own, consumer.COMMAND, say, render_models) as stack:
        yield stack


def worker_objects(settings: Settings) -> ObjectSettings:
    """Return what workers may read and write, as far as this command knows: what the local stack's worker has noted.

    For workers on a broker that the settings name, these settings themselves are the best guess.
    """
    from deploy.local.allowed import read_note

    noted = None if settings.kafka.bootstrap_servers else read_note(settings.stack)
    return noted or settings.objects


def render_models(settings: Settings) -> None:
    """Write the model repository of the embedded Triton, if the settings name no other."""
    from export.repository.render import render

    if not settings.triton.url:
        render(settings)


def check_profiles(profiles: Iterable[str | None]) -> None:
    """Raise InvalidProfile for a profile that a stack of this checkout cannot serve."""
    for profile in profiles:
        if profile not in (None, AUTO, *known_profiles()):
            raise InvalidProfile(f"there is no profile {profile!r}; choose from {', '.join(known_profiles())}")


def require_weights(settings: Settings, profiles: tuple[str, ...]) -> None:
    """Raise an error if a profile does not exist or its weights are missing; another Triton has weights of its own."""
    from export.weights.catalogue import select_models
    from export.weights.store import ensure_weights

    if not settings.triton.url:
        check_profiles(profiles)
        for model in select_models(settings.models.model_copy(update={"profiles": profiles})):
            ensure_weights(model, settings.models)
