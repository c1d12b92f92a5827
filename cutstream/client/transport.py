"""What the client needs of a way to the workers: Kafka, or the HTTP service in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from cutstream.client.inbox import Inbox
from cutstream.client.requests import Source
from cutstream.contract.messages import Request, StoredObject


class Transport(Protocol):
    """A connection that carries requests and brings results. Thread-safe, except `start` and `close`."""

    def start(self, inbox: Inbox) -> None:
        """Connect. From now on the results of requests that are in the inbox are delivered to it.

        Raises BrokerUnavailable or GatewayUnavailable, ConfigurationError or NoTopic.
        """

    def send(self, request: Request, source: Source, urgent: bool) -> Future[None]:
        """Send a request for this photo. The future is done when the request is safely there.

        If it fails, the handle in the inbox has failed with the same error. Raises NotReachable and the errors of
        refused addresses, before anything is sent.
        """

    def cancel(self, ids: Sequence[str]) -> None:
        """Call requests off. Each has a result nevertheless. Raises BrokerUnavailable or GatewayUnavailable."""

    def read(self, output: StoredObject) -> bytes:
        """Return the bytes of an output. Raises OutputUnavailable."""

    def close(self) -> None:
        """Send what has been handed over, and disconnect."""
