"""Refuse settings that cannot work on this machine, before anything is started.

What a text alone tells is refused by the settings themselves. What only a server knows, such as its topics, is checked
when it is reached.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from consumer.intake.preset_files import read_presets
from cutstream.clients.objects.store import ObjectStore
from cutstream.constraints import nearest
from cutstream.errors import ConfigurationError
from cutstream.profiles import AUTO, known_profiles
from cutstream.settings import Settings, anchor, variable


def check_settings(settings: Settings) -> None:
    """Raise ConfigurationError with a line for each problem, which names the variable and what to do."""
    checks = (_roots, _destination, _profiles, _presets, _certificates)
    if problems := [problem for check in checks for problem in check(settings)]:
        raise ConfigurationError("\n".join(problems))


def _roots(settings: Settings) -> Iterator[str]:
    for root in settings.objects.file_roots:
        if problem := _folder_problem(root):
            yield _say("objects", "file_roots", f"{root} {problem}: make this folder, or take it out of the list")


def _folder_problem(folder: Path) -> str:
    try:
        if not folder.is_dir():
            return "is not a folder" if folder.exists() else "does not exist"
    except OSError as exc:
        return f"cannot be looked at ({exc.strerror})"
    return "" if os.access(folder, os.R_OK | os.X_OK) else "may not be read by this user"


def _destination(settings: Settings) -> Iterator[str]:
    """A folder need not exist, because the worker makes it; the nearest one that does must allow that."""
    try:
        folders = ObjectStore(settings.objects, settings.limits).default_folders
    except ConfigurationError as exc:
        yield from str(exc).splitlines()
        return
    for folder in folders:
        existing = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
        if not existing.is_dir():
            yield _say("objects", "destination", f"{existing} is not a folder: name another one")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield _say(
                "objects", "destination", f"this user may not write to {existing}: allow it, or name another one"
            )


def _profiles(settings: Settings) -> Iterator[str]:
    known = known_profiles()
    for name in ("profiles", "auto") if known else ():
        for profile in getattr(settings.models, name):
            if profile == AUTO:
                yield _say("models", name, f"{AUTO} is a choice between profiles: name those profiles")
            elif profile not in known:
                hint = nearest(profile, known) or f"; choose from {', '.join(known)}"
                yield _say("models", name, f"there is no profile {profile}{hint}")


def _presets(settings: Settings) -> Iterator[str]:
    try:
        read_presets(settings.models.presets)
    except ConfigurationError as exc:
        yield from str(exc).splitlines()


def _certificates(settings: Settings) -> Iterator[str]:
    file = settings.kafka.ssl_cafile
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as exc:  # ssl's own errors are OSErrors
            reason = exc.strerror or exc
            yield _say("kafka", "ssl_cafile", f"{file} holds no certificates ({reason}): name a file in PEM format")


def _say(section: str, name: str, problem: str) -> str:
    return f"{variable(section, name)}: {problem} (docs/settings.md#{anchor(section, name)})"
