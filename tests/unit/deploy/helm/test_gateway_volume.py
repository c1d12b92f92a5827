"""A gateway takes a new volume of Kubernetes for its state folder, if the volume has the group that the chart names."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.helm import CHECKOUT

USER = 10001  # of the images
# What is imported may be readable to root only, so the process becomes the user of the images after that.
OPEN = """
import os, sys
from pathlib import Path
from cutstream.errors import ConfigurationError
from producer.gateway.state import State

user, group, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
os.setgroups([group])
os.setgid(user)
os.setuid(user)
try:
    for _ in range(2):  # a second time, after a restart
        state = State(folder)
        state.open()
        (folder / "jobs").write_text("")
        state.close()
except ConfigurationError as exc:
    sys.exit(str(exc))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a volume of root's and become another user")
@pytest.mark.parametrize(("group", "refused"), [(0, ""), (USER, "other users may write to")])
def test_a_volume_of_kubernetes(group: int, refused: str) -> None:
    with tempfile.TemporaryDirectory() as mounted:  # not pytest's own folder, which is closed to others
        Path(mounted).chmod(0o755)
        _open_in(Path(mounted) / "volume", group, refused)


def _open_in(volume: Path, group: int, refused: str) -> None:
    volume.mkdir()
    # As the kubelet does it for fsGroup.
    os.chown(volume, 0, group)
    volume.chmod(0o2775)
    opened = subprocess.run(
        [sys.executable, "-c", OPEN, str(USER), str(group), str(volume / "gateway")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (opened.returncode == 0) == (not refused), opened.stderr
    assert refused in opened.stderr
