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
    from producer.folders.work import Stream


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
def own_stack(settings: Settings, report: Callable[[str], None] = say) -> Iterator[RunningStack]:
    """Run a stack with a temporary state folder until the block is left. Ports that are taken are replaced by others.

    Raises ConfigurationError, before anything starts, if the settings cannot work.
    """
    import consumer
    from deploy.local.ports import with_free_ports
    from deploy.local.running import running_stack
    from deploy.local.state import throwaway
    from deploy.local.verdicts import kept_verdicts

    check_deployment(settings)
    with (
        throwaway(with_free_ports(settings)) as own,
        kept_verdicts(settings, own),
        running_stack(own, consumer.COMMAND, report, render_models) as stack,
    ):
        yield stack
        stack.end()


@contextmanager
def _starting_stack(settings: Settings, report: Callable[[str], None]) -> Iterator[RunningStack]:
    """Run a stack as `own_stack` does, and yield as soon as requests can be sent, while the worker still starts."""
    import consumer
    from deploy.local.ports import with_free_ports
    from deploy.local.running import launched_stack
    from deploy.local.state import throwaway
    from deploy.local.verdicts import kept_verdicts

    def prepare(settings: Settings) -> None:
        """Do what can be done while Kafka starts, which takes longest."""
        check_deployment(settings)
        render_models(settings)

    with (
        throwaway(with_free_ports(settings, keep=False)) as own,
        kept_verdicts(settings, own),
        launched_stack(own, consumer.COMMAND, report, prepare, kills=True) as stack,
    ):
        yield stack
        stack.end()


@contextmanager
def cutting_stack(
    settings: Settings,
    folders: Sequence[Path],
    profile: str | None,
    report: Callable[[str], None],
    *,
    for_one: bool = False,
) -> Iterator[tuple[Stream, Callable[[], None]]]:
    """Yield the stack that is to cut photos out, and a function that keeps it running or raises StackError.

    A broker that the settings name is always used. Otherwise it is the local stack if that runs, after waiting for one
    that is starting; if there is none, this starts one that reads the folders and serves the profile, and stops it
    afterwards. `for_one` makes that one no larger than a single photo needs. Raises StackError if the local stack stops
    while it is used.
    """
    from commands.attaching import attached_stack, ending_with, located
    from deploy.local.inbox import inbox_of, with_inbox
    from producer.folders.work import Stream

    if settings.kafka.bootstrap_servers:
        from cutstream.clients.kafka import check_topics
        from cutstream.settings import addressed

        running = addressed(settings)
        check_topics(running.kafka)
        yield Stream(running, settings.objects), lambda: None
        return
    check_profiles([profile])
    running = located(settings, report)
    if (stream := attached_stack(running, report)) is not None:
        with ending_with(running.stack) as check:
            yield stream, check
        return
    report(
        f"no stack runs on {settings.stack.state}: starting Kafka, Triton and a worker, which takes a few seconds "
        "(`cutstream up` keeps them running)"
    )
    own = _for_photos(settings, folders, profile)
    with _starting_stack(_for_one_photo(own) if for_one else own, report) as stack:
        objects = with_inbox(stack.settings).objects
        yield Stream(stack.settings, objects, inbox_of(stack.settings.stack, objects)), stack.check


def _for_photos(settings: Settings, folders: Sequence[Path], profile: str | None) -> Settings:
    """Adapt the settings for a stack that reads the folders, and serves the profile alone if one is named."""
    roots = tuple(dict.fromkeys((*settings.objects.file_roots, *folders)))
    named = {} if profile in (None, AUTO) else {"profiles": (profile,), "default_profile": profile}
    return settings.model_copy(
        update={
            "objects": settings.objects.model_copy(update={"file_roots": roots}),
            "models": settings.models.model_copy(update=named),
        }
    )


def _for_one_photo(settings: Settings) -> Settings:
    """Adapt the settings for a stack that does one photo: a broker alone takes half a second to make all partitions."""
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"partitions": 1}),
            "worker": settings.worker.model_copy(update={"decoders": 1}),
            "page": settings.page.model_copy(update={"enabled": False}),
        }
    )


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
