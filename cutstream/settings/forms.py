"""The forms of addresses and names in settings, as far as they can be told from the text alone."""

from __future__ import annotations

import re
from ipaddress import ip_address

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_HOST_LABELS = re.compile(r"(\*\.)?[^\s/:@*.\[\]]+(\.[^\s/:@*.\[\]]+)*")
# Stores refuse other names, and obstore panics on some of them.
BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
BUCKET_SCHEMES = ("s3", "gs", "az")


def is_host_and_port(text: str) -> bool:
    """Tell whether this is `host:port` without a scheme, a path or a user."""
    host, _, port = text.strip().rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    return bool(host and is_port and not re.search(r"[\s/@,]", host))


def is_topic(name: str) -> bool:
    """Tell whether Kafka accepts this name of a topic."""
    return bool(_TOPIC.fullmatch(name)) and name not in (".", "..")


def can_match_host(pattern: str) -> bool:
    """Tell whether a host's name or address can equal this, or end like this after `*`."""
    try:
        ip_address(pattern)
        return True
    except ValueError:
        return bool(_HOST_LABELS.fullmatch(pattern))


def can_match_bucket(entry: str) -> bool:
    """Tell whether a bucket can have this name, alone or behind the scheme of its store."""
    scheme, found, name = entry.rpartition("://")
    return bool(BUCKET_NAME.fullmatch(name)) and (not found or scheme in BUCKET_SCHEMES)
