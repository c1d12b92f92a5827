"""Run one gateway as a process: its log, its signals, its limits of the system."""

from __future__ import annotations

import logging
import resource
import sys

from cutstream import log as logs
from cutstream.clients.kafka.checksums import use_fast_checksums
from cutstream.errors import CutstreamError, Fatal
from cutstream.settings import Settings
from cutstream.signals import on_termination
from producer.gateway.gateway import Gateway
from producer.gateway.preflight import check_settings

log = logging.getLogger(__name__)

_SPARE_DESCRIPTORS = 512
# The event loop lets other threads run at each call of the system, and gets its turn back after so long at most. With
# the default of 5 ms, each call would wait for several such turns of the Kafka clients.
_TURN_S = 0.0005


def run_gateway(settings: Settings) -> None:
    """Run one gateway until SIGTERM or SIGINT. Raises ConfigurationError if it cannot run with these settings."""
    logs.configure()
    check_settings(settings)
    sys.setswitchinterval(_TURN_S)
    use_fast_checksums()
    _raise_descriptor_limit(settings.gateway.max_connections + _SPARE_DESCRIPTORS)
    gateway = Gateway(settings)
    on_termination(gateway.stop)
    try:
        gateway.run()
    except CutstreamError:
        raise
    except Exception as exc:
        log.exception("the gateway cannot continue")
        raise Fatal(f"{type(exc).__name__}: {exc}. Report it with the stack trace in the log above") from exc


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
