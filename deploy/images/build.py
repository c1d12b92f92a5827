"""Build the images with docker, podman or buildah: `python -m deploy.images.build [TARGET...]`.

What they stand on is taken by the digests of `digests.lock`. As long as one that is needed is unpinned, nothing is
built without `--unpinned`: the same source would make another image tomorrow.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.images.digests import DOCKERFILE, LOCK, UNPINNED, build_images, pinned, read_lock

CHECKOUT = Path(__file__).parents[2]
TARGETS = ("worker", "gateway", "worker-gpu", "triton-cpu", "triton-gpu")
ENGINES = ("docker", "podman", "buildah")


def build_command(
    target: str, engine: str, tag: str, images: Mapping[str, str], labels: Mapping[str, str]
) -> list[str]:
    """Return the command line that builds one target from the checkout.

    `images` are the build arguments that name images, `labels` the other build arguments.
    """
    command = {"docker": ["docker", "build"], "podman": ["podman", "build"], "buildah": ["buildah", "build"]}[engine]
    if engine != "docker":  # the OCI's own format has no HEALTHCHECK
        command += ["--format", "docker", "--layers"]
    arguments = [word for name, value in {**images, **labels}.items() for word in ("--build-arg", f"{name}={value}")]
    return [
        *command, "--file", str(DOCKERFILE), "--target", target, *arguments, "--tag", f"cutstream-{target}:{tag}",
    ]  # fmt: skip


def unpinned(target: str, digests: Mapping[str, str]) -> list[str]:
    """Return the images that the target stands on and that nobody has pinned yet."""
    needed = [
        image for argument, image in build_images().items() if (argument == "TRITON_IMAGE") == (target == "triton-gpu")
    ]
    return [image for image in needed if digests.get(image, UNPINNED) == UNPINNED]


def labels() -> dict[str, str]:
    """Return version, revision and time of the checkout's last commit, for the labels of an image."""
    version = re.search(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    changed = "-changed" if _git("status", "--porcelain") else ""
    return {
        "VERSION": version[1] if version else "unknown",
        "REVISION": (_git("rev-parse", "HEAD") or "unknown") + changed,
        "CREATED": _git("log", "-1", "--format=%cI") or "1970-01-01T00:00:00Z",
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.build", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all but the GPU's")
    parser.add_argument("--engine", choices=ENGINES, help="the program that builds; the first that is installed")
    parser.add_argument("--tag", help="tag of the images; the version")
    parser.add_argument("--unpinned", action="store_true", help="build although an image below has no digest yet")
    options = parser.parse_args(arguments)
    targets = options.targets or ["worker", "gateway", "triton-cpu"]
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; choose from {', '.join(TARGETS)}")
    engine = options.engine or next(filter(shutil.which, ENGINES), None)
    if engine is None:
        parser.error(f"none of {', '.join(ENGINES)} is installed")
    digests = read_lock(LOCK.read_text(encoding="utf-8"))
    if not options.unpinned and (
        missing := sorted({image for target in targets for image in unpinned(target, digests)})
    ):
        parser.error(f"{', '.join(missing)}: pin it with `make image-digests`, or build with --unpinned")
    images = {argument: pinned(image, digests) for argument, image in build_images().items()}
    values = labels()
    for target in targets:
        command = build_command(target, engine, options.tag or values["VERSION"], images, values)
        if status := subprocess.run([*command, "."], cwd=CHECKOUT, check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
