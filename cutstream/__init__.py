"""cutstream: image references in on a Kafka topic, finished cutouts out.

`Client` and `AsyncClient` submit photos and bring their results (docs/client.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutstream.client import AsyncClient, Client, PhotoFailed

__version__ = "0.1.0"

__all__ = ["AsyncClient", "Client", "PhotoFailed", "__version__"]

if not TYPE_CHECKING:  # a type checker would take it to have every name

    def __getattr__(name: str) -> object:
        """Import the client when it is first asked for: the services need only what they import themselves."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from cutstream import client

        return getattr(client, name)
