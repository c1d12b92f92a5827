"""Choose the way to the workers by the address that a client is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutstream.client.over_http import HttpTransport
from cutstream.client.over_kafka import KafkaTransport
from cutstream.client.transport import Transport
from cutstream.errors import ConfigurationError
from cutstream.redaction import redact
from cutstream.settings import addressed, load


def connect(address: str | None, key: str | None, kafka: Mapping[str, Any]) -> Transport:
    """Return the transport for an address, which is not connected yet. Raises ConfigurationError."""
    scheme, _, rest = (address or "").strip().partition("://")
    if key is not None and scheme not in ("http", "https"):
        raise ConfigurationError("a key goes with the address of the HTTP service, such as http://localhost:8080")
    if address is None:
        settings = load(kafka=kafka)
        return KafkaTransport(addressed(settings), local_stack=not settings.kafka.bootstrap_servers)
    if scheme in ("http", "https") and rest:
        if "@" in rest:  # a password may hold a slash, so that it looks like the path
            raise ConfigurationError(
                f"{redact(address)!r} has a user or a password in it, which no call would send: give the key of the "
                "HTTP service as `key`, such as Client('https://cutouts.example.org', key='cs_…')"
            )
        if kafka:
            raise ConfigurationError("`kafka` goes with the address of a Kafka, such as kafka://broker:9092")
        return HttpTransport(address.strip(), key)
    if scheme == "kafka" and rest:
        return KafkaTransport(load(kafka={**kafka, "bootstrap_servers": rest.rstrip("/")}))
    raise ConfigurationError(
        f"{redact(address)!r} is no address for a client: give kafka://broker:9092, the address of the HTTP service, "
        "such as http://localhost:8080, or none for the local stack"
    )
