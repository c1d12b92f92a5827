"""The folder in which a run's servers and workers live. Only its logs outlive the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

STATE = Path(__file__).parents[3] / ".state"
TOOLS, JARS = STATE / "tools", STATE / "jars"


@contextmanager
def run_folder(name: str, out: Path) -> Iterator[Path]:
    """Yield a new folder in `.state`. At the end, however the run ends, move its logs to `out` and remove the rest."""
    STATE.mkdir(exist_ok=True)
    folder = Path(mkdtemp(prefix=f"{name}-", dir=STATE))
    try:
        yield folder
    finally:
        for logs in (folder / "logs", folder / "state" / "logs"):
            if logs.is_dir():  # a run that fails early has none, and its error must not give way to another
                shutil.copytree(logs, out / "logs", dirs_exist_ok=True)
        shutil.rmtree(folder)
