"""Refuse settings that cannot work on this machine, before anything is started.

What a text alone tells is refused by the settings themselves. What only a server knows, such as its topics, is checked
when it is reached.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from consumer.intake.preset_files import read_presets
from cutstream.clients.objects.store import ObjectStore
from cutstream.constraints import nearest
from cutstream.errors import ConfigurationError, RefusedAddress
from cutstream.folders import why_unreadable, why_unwritable
from cutstream.profiles import AUTO, known_profiles
from cutstream.settings import Settings, about
from cutstream.tls import file_problems
from cutstream.traces import PACKAGES, are_installed


def check_settings(settings: Settings) -> None:
    """Raise ConfigurationError with a line for each problem, which names the variable and what to do."""
    if problems := list(worker_problems(settings)):
        raise ConfigurationError("\n".join(problems))


def worker_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting of a worker that cannot work on this machine."""
    for check in (_roots, _destination, _profiles, _presets, _certificates, _device, _host, _traces):
        yield from check(settings)


def _roots(settings: Settings) -> Iterator[str]:
    for root in settings.objects.file_roots:
        if problem := why_unreadable(root):
            yield about("objects", "file_roots", f"{root} {problem}: make this folder, or take it out of the list")


def _destination(settings: Settings) -> Iterator[str]:
    try:
        objects = ObjectStore(settings.objects, settings.limits)
        if not objects.default_folders:
            objects.check_destination(None)
    except ConfigurationError as exc:
        yield from str(exc).splitlines()
        return
    except RefusedAddress as exc:
        yield about("objects", "destination", str(exc))
        return
    for folder in objects.default_folders:
        if problem := why_unwritable(Path(folder)):
            yield about("objects", "destination", f"{folder} {problem}: allow it, or name another one")


def _profiles(settings: Settings) -> Iterator[str]:
    known = known_profiles()
    for name in ("profiles", "auto") if known else ():
        for profile in getattr(settings.models, name):
            if profile == AUTO:
                yield about("models", name, f"{AUTO} is a choice between profiles: name those profiles")
            elif profile not in known:
                hint = nearest(profile, known) or f"; choose from {', '.join(known)}"
                yield about("models", name, f"there is no profile {profile}{hint}")


def _presets(settings: Settings) -> Iterator[str]:
    try:
        read_presets(settings.models.presets)
    except ConfigurationError as exc:
        yield from str(exc).splitlines()


def _certificates(settings: Settings) -> Iterator[str]:
    yield from file_problems("kafka", settings.kafka)
    if settings.triton.tls:
        yield from file_problems("triton", settings.triton)


def _device(settings: Settings) -> Iterator[str]:
    if settings.worker.device != "cuda":
        return
    from cutstream.arrays.device import require_device  # it loads OpenCV, too, which a command does without

    try:
        require_device(settings.worker.device)
    except ConfigurationError as exc:
        yield str(exc)


def _host(settings: Settings) -> Iterator[str]:
    """An address must be one of this machine. A name is looked up when the worker starts."""
    hosts = {"worker": settings.worker.host, **({"page": settings.page.host} if settings.page.enabled else {})}
    for section, host in hosts.items():
        try:
            family = socket.AF_INET6 if isinstance(ip_address(host), IPv6Address) else socket.AF_INET
            with socket.socket(family) as probe:
                probe.bind((host, 0))
        except ValueError:
            continue
        except OSError as exc:
            yield about(
                section, "host", f"{host} is no address of this machine ({exc.strerror}): 0.0.0.0 stands for all"
            )


def _traces(settings: Settings) -> Iterator[str]:
    if settings.worker.traces_url and not are_installed():
        yield about("worker", "traces_url", f"this needs {PACKAGES}")
