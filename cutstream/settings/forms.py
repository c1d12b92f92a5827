"""The forms of addresses and names in settings, as far as they can be told from the text alone."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

_KAFKA_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKERS_OWN = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")
_TOKEN = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(rb"[A-Za-z0-9._-]{1,253}")
_HOST_LABELS = re.compile(r"(\*\.)?[^\s/:@*.\[\]]+(\.[^\s/:@*.\[\]]+)*")
# No store has other names, and obstore panics on some of them. How short one may be is for the store to say.
BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}")
BUCKET_SCHEMES = ("s3", "gs", "az")


def is_token(text: str, least: int = 1) -> bool:
    """Tell whether this can be sent in a header as it is, and has at least so many characters."""
    return len(text) >= least and bool(_TOKEN.fullmatch(text))


def is_host(text: str) -> bool:
    """Tell whether this is an address, or a name that can be looked up: of parts of 1 to 63 characters."""
    try:
        ip_address(text)
        return True
    except ValueError:
        pass
    try:
        return bool(_HOST_NAME.fullmatch(text.encode("idna")))
    except UnicodeError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_web_address(text: str) -> bool:
    """Tell whether a page may link to this: an http(s) address."""
    return text.startswith(("https://", "http://")) and text.isprintable() and " " not in text


def is_host_and_port(text: str) -> bool:
    """Tell whether this is `host:port` without a scheme, a path or a user. An IPv6 address is in brackets."""
    host, _, port = text.strip().rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if host.startswith("[") and host.endswith("]"):
        return is_port and _is_ipv6(host[1:-1])
    return is_port and is_host(host) and ":" not in host


def host_and_port(host: str, port: int) -> str:
    """Write an address as in a URL: that of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ip_address(text), IPv6Address)
    except ValueError:
        return False


def is_kafka_name(name: str) -> bool:
    """Tell whether Kafka accepts this as the name of a topic, or as an id for static membership."""
    return bool(_KAFKA_NAME.fullmatch(name)) and name not in (".", "..")


def is_topic(name: str) -> bool:
    """Tell whether a topic can have this name and is not one of the brokers' own."""
    return is_kafka_name(name) and name not in _BROKERS_OWN


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
