"""The folder in which a run's servers and workers live. Only its logs outlive the run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

STATE = Path(__file__).parents[3] / ".state"
TOOLS, JARS = STATE / "tools", STATE / "jars"


@contextmanager
def run_folder(name: str, out: Path, reports: Sequence[str]) -> Iterator[Path]:
    """Yield a new folder in `.state`. At the end, however the run ends, move its logs to `out` and remove the rest.

    The files of `out` named in `reports` are removed first: those of an earlier run must not lie beside the logs of one
    that leaves none.
    """
    out.mkdir(parents=True, exist_ok=True)
    for report in reports:
        (out / report).unlink(missing_ok=True)
    STATE.mkdir(exist_ok=True)
    folder = Path(mkdtemp(prefix=f"{name}-", dir=STATE))
    try:
        yield folder
    except BaseException:  # it must not give way to an error of the cleaning up
        try:
            _clean_up(folder, out)
        except OSError as exc:
            sys.stderr.write(f"the logs of a run that failed could not be kept in {out}: {exc}\n")
        raise
    _clean_up(folder, out)


def _clean_up(folder: Path, out: Path) -> None:
    try:
        for logs in (folder / "logs", folder / "state" / "logs"):
            if logs.is_dir():  # a run that fails early has none
                shutil.copytree(logs, out / "logs", dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder)
