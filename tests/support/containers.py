"""Container images for tests: built by buildah, run by podman, as strictly as a cluster runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from deploy.images.build import CHECKOUT, build_command, labels
from deploy.images.digests import build_images

PROGRAMS = ("buildah", "podman", "mmdebstrap", "unshare")
BASE = "localhost/cutstream-stand-in:bookworm"
USER = 10001
BUILT = "built-for-tests"
# Mounted where /sys/fs/cgroup has the first version, too: crun refuses such a mixture.
_SECOND_CGROUPS = Path("/sys/fs/cgroup/unified")
_ALONE = ["unshare", "--mount", "sh", "-c", f'umount {_SECOND_CGROUPS} && exec "$@"', "sh"]


def why_no_containers() -> str | None:
    """Return what this machine lacks, or None if it can build and run images."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"needs {', '.join(missing)} (Debian's packages)"
    return None if os.geteuid() == 0 else "needs root, to make the base of the images"


def prepared(command: Sequence[str]) -> list[str]:
    return [*(_ALONE if _SECOND_CGROUPS.is_mount() else []), *command]


def call(*command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(prepared(command), capture_output=True, text=True, timeout=timeout_s, check=False)


def build(targets: Sequence[str], folder: Path) -> None:
    """Build the images on a stand-in for Docker's Python images, which needs no registry of images."""
    if call("buildah", "inspect", "--type", "image", BASE).returncode != 0:
        script = CHECKOUT / "deploy" / "images" / "stand_in.sh"
        _succeed([str(script), sys.executable, BASE])
    images = build_images() | {"BUILD_IMAGE": BASE, "PYTHON_IMAGE": BASE}
    for target in targets:
        command = build_command(target, "buildah", BUILT, images, labels())
        _succeed([*command, "--network", "host", *_authorities(folder), str(CHECKOUT)])


def _authorities(folder: Path) -> Iterator[str]:
    """Yield options that let a build reach the registries of a site that has an authority of its own (PIP_CERT)."""
    if certificates := os.environ.get("PIP_CERT"):
        (folder / "pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
        (folder / "uv.toml").write_text("native-tls = true\n")
        yield from ("--volume", f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro")
        yield from ("--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro")
        yield from ("--volume", f"{folder / 'uv.toml'}:/etc/uv/uv.toml:ro")


def _succeed(command: list[str]) -> None:
    done = subprocess.run(prepared(command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


class Container:
    """A container that runs. `health` is the answer of its own HEALTHCHECK."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log = name, log

    def health(self) -> bool:
        return call("podman", "healthcheck", "run", self.name).returncode == 0

    def run(self, *command: str) -> str:
        done = call("podman", "exec", self.name, *command)
        assert done.returncode == 0, f"{done.stderr}\n{self.tail()}"
        return done.stdout

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@contextmanager
def container(
    image: str,
    log: Path,
    command: Sequence[str] = (),
    environment: Mapping[str, str] = {},
    volumes: Sequence[str] = (),
    options: Sequence[str] = ("--network", "host"),
) -> Iterator[Container]:
    """Run an image: its own user, a read-only root, no capabilities, no new rights, and the default seccomp profile."""
    name = f"cutstream-test-{uuid4().hex[:8]}"
    settings = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
    mounts = [word for volume in volumes for word in ("--volume", volume)]
    start = [
        "podman", "run", "--rm", "--name", name, "--read-only", "--tmpfs", "/tmp:noexec,mode=1777", "--cap-drop", "all",
        "--security-opt", "no-new-privileges", "--cgroups", "disabled", "--ulimit", "nofile=2048:2048",
        "--ulimit", "nproc=4096:4096", *options, *settings, *mounts, image, *command,
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(prepared(start), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield Container(name, log)
        finally:
            call("podman", "stop", "--time", "30", name)
            process.wait(60)
