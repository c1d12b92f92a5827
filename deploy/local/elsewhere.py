"""Find the running stack of this user from any folder: `cutstream up` announces it in the user's own runtime folder.

The announcement holds no secret. It says which state folder to look into, and whoever looks there checks whose that is.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from time import sleep

from cutstream.errors import StackError
from cutstream.ownership import why_shared
from cutstream.settings import Settings, is_abandoned, read_note, runtime_folder
from deploy.local.state import is_in_use, is_own_file, open_unplanted, private_folder

# The settings by which a command finds a local stack: ports, topics, and the folder that has its certificate.
NEEDED = {
    "stack": (
        "state",
        "private",
        "kafka_port",
        "kafka_controller_port",
        "triton_grpc_port",
        "triton_metrics_port",
        "port_offset",
    ),
    "worker": ("host", "port"),
    "gateway": ("host", "port"),
    "page": ("port",),
    "kafka": (
        "urgent_topic",
        "requests_topic",
        "retry_topic",
        "results_topic",
        "dead_letters_topic",
        "cancellations_topic",
        "backgrounds_topic",
        "group",
    ),
}
_NAME = "stack.json"
_TRIES, _TRY_S = 5, 0.02
_MOST_BYTES = 1 << 16


@contextmanager
def announced(settings: Settings, report: Callable[[str], None]) -> Iterator[None]:
    """Announce the stack inside the block, unless another one is announced. `report` is told why it is not."""
    folder = runtime_folder()
    if folder is None:
        yield
        return
    with ExitStack() as cleanup:
        try:
            file = cleanup.enter_context(_locked(private_folder(folder) / _NAME))
            file.truncate(0)
            file.write(json.dumps(_announcement(settings)).encode())
            cleanup.callback(file.truncate, 0)  # not removed: another stack may be waiting for its lock
        except BlockingIOError:
            report("another stack of yours runs, which commands in other folders use unless they name this one's state")
        except (OSError, StackError) as exc:
            report(f"commands find this stack only in this folder: {folder} cannot be used ({exc})")
        yield


def stack_elsewhere(settings: Settings) -> Settings | None:
    """Return settings that reach the announced stack, if these settings name none and none runs in this folder."""
    if settings.kafka.bootstrap_servers or not _are_defaults(settings):
        return None
    if read_note(settings.stack) is not None or is_in_use(settings.stack.state):
        return None
    folder = runtime_folder()
    found = _read(folder, settings) if folder else None
    if found is None:
        return None
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in found.items()}
    )


def _locked(path: Path) -> FileIO:
    """Open the announcement and lock it. Raises BlockingIOError if another stack has, and OSError."""
    file = FileIO(path, "r+", opener=open_unplanted)
    try:
        if not is_own_file(os.fstat(file.fileno())):
            raise FileExistsError(f"{path} is no file of yours: remove it")
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            sleep(_TRY_S)  # a command may be looking, which takes no time
        raise BlockingIOError
    except BaseException:
        file.close()
        raise


def _announcement(settings: Settings) -> dict[str, dict[str, object]]:
    values = {section: getattr(settings, section).model_dump(mode="json") for section in NEEDED}
    values["stack"]["state"] = str(settings.stack.state.absolute())
    return {section: {name: values[section][name] for name in names} for section, names in NEEDED.items()}


def _are_defaults(settings: Settings) -> bool:
    parts = {section: getattr(settings, section) for section in NEEDED}
    return all(
        getattr(part, name) == type(part).model_fields[name].default
        for section, part in parts.items()
        for name in NEEDED[section]
    )


def _read(folder: Path, settings: Settings) -> dict[str, dict[str, object]] | None:
    """Return what a running stack of this user has announced. None if none has, or if others could have written it."""
    if why_shared(folder):
        return None
    try:
        descriptor = os.open(folder / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with FileIO(descriptor) as file:
            if not is_own_file(os.fstat(descriptor)) or is_abandoned(file):
                return None
            return _parsed(json.loads(file.read(_MOST_BYTES)), settings)
    except (OSError, ValueError):
        return None  # what is no announcement is not JSON, or of other fields


def _parsed(announcement: object, settings: Settings) -> dict[str, dict[str, object]]:
    """Return the values by section. Raises ValueError if it is no announcement."""
    if not isinstance(announcement, dict):
        raise ValueError("no announcement")
    found = {}
    for section, names in NEEDED.items():
        given = announcement[section] if isinstance(announcement.get(section), dict) else {}
        given = {name: given[name] for name in names if name in given}
        part = type(getattr(settings, section)).model_validate(given)
        found[section] = {name: getattr(part, name) for name in given}
    if "state" not in found["stack"]:
        raise ValueError("it names no state folder")
    return found
