"""Create the Kafka topics."""

from __future__ import annotations

from commands.console import named_errors


def create() -> None:
    """Create all topics of the product, unless they exist."""
    from cutstream.clients.kafka import ensure_topics
    from cutstream.settings import addressed, load

    with named_errors():
        ensure_topics(addressed(load()).kafka)
