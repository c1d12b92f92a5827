"""Create the Kafka topics."""

from __future__ import annotations

from commands.attaching import reached
from commands.console import err, named_errors


def create() -> None:
    """Create all topics of the product, unless they exist.

    Warns of topics of requests that exist with `message.timestamp.type=CreateTime`.
    """
    from cutstream.clients.kafka import ensure_topics, topics_with_senders_times
    from cutstream.settings import load

    with named_errors():
        settings = reached(load()).kafka
        ensure_topics(settings)
        if topics := topics_with_senders_times(settings):
            err.print(
                f"Warning: records in {', '.join(topics)} have the times that their senders claim. With them, a sender "
                "can use up the broker's file descriptors. Set message.timestamp.type=LogAppendTime "
                "(docs/security.md#times)."
            )
