"""Which stack and which profiles a command works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cutstream.errors import WeightsMissing

if TYPE_CHECKING:
    from cutstream.settings import Settings
    from evaluation.scoring.folder import Photo

# The heaviest profile first: if it cannot start, that shows before minutes are spent on the others.
COMPARED = ("everything", "depth", "semantic", "depth_fused", "general", "fast")


def compared(settings: Settings, profiles: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The named profiles, all of which must be served; without names those that can be, and why the others cannot."""
    if profiles is not None:
        names = tuple(profiles.split(","))
        require_weights(settings, names)
        return names, {}
    left_out = {}
    for profile in COMPARED:
        try:
            require_weights(settings, (profile,))
        except WeightsMissing as exc:
            left_out[profile] = str(exc)
    return tuple(profile for profile in COMPARED if profile not in left_out), left_out


def require_weights(settings: Settings, profiles: tuple[str, ...]) -> None:
    """Before minutes of work with one of them: raises for a profile that there is not, and for weights that are not."""
    from export.weights.catalogue import select_models
    from export.weights.store import ensure_weights

    if not settings.triton.url:
        for model in select_models(settings.models.model_copy(update={"profiles": profiles})):
            ensure_weights(model, settings.models)


@contextmanager
def serving(
    settings: Settings, photos: Sequence[Photo], profile: str | None, mattes: Path
) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """The running stack if its Kafka answers, or else one of this command's own until the block is left.

    With its watchdog, which raises StackError. A broker that the settings name is meant: no other takes its place.
    """
    from cutstream.clients.kafka import check_topics
    from cutstream.settings import addressed
    from evaluation.scoring.predict import evaluation_settings

    running = addressed(settings)
    if not settings.kafka.bootstrap_servers:
        import consumer
        from deploy.local.kafka import is_ready  # of the checkout: a broker that is named needs nothing of it
        from deploy.local.running import running_stack, throwaway

        if not is_ready(settings.stack.kafka_port):
            own = evaluation_settings(settings, photos, profile, mattes)
            with throwaway(own) as fresh, running_stack(render_models(fresh), consumer.COMMAND) as stack:
                yield stack.settings, stack.check
            return
    check_topics(running.kafka)
    yield running, lambda: None


def render_models(settings: Settings) -> Settings:
    """The same settings, once the embedded Triton has what they ask it to serve."""
    from export.repository.render import render

    if not settings.triton.url:
        render(settings)
    return settings
