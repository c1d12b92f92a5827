"""Pin what the images and the compose file stand on: `python -m deploy.images.digests` asks the registries for digests.

The Dockerfile and the compose file name other people's images by tag. `digests.lock` has a line for each: its name and
the digest of what the tag meant when it was pinned, or `unpinned`. `--check` asks nobody, and reports what the lock
lacks. `--environment` prints the pinned images of the compose file as lines for its `.env`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
LOCK = FOLDER / "digests.lock"
DOCKERFILE = FOLDER / "Dockerfile"
COMPOSE = FOLDER.parent / "compose" / "compose.yaml"
UNPINNED = "unpinned"

_HEADER = "# Written by `make image-digests`. Image, and the digest of its manifest, or `unpinned`.\n"
_ARGUMENT = re.compile(r"^ARG (\w+_IMAGE)=(\S+)$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(\w+_IMAGE):-([^}]+)\}")
_NAME = re.compile(r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+:[\w.-]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def build_images() -> dict[str, str]:
    """Return the image of each build argument of the Dockerfile, by tag."""
    return dict(_ARGUMENT.findall(DOCKERFILE.read_text(encoding="utf-8")))


def compose_images() -> dict[str, str]:
    """Return the image of each variable of the compose file, by tag. Ours, which have no registry, are left out."""
    found = _VARIABLE.findall(COMPOSE.read_text(encoding="utf-8"))
    return {variable: image for variable, image in found if "/" in image}


def read_lock(text: str) -> dict[str, str]:
    """Return the digest of each image, or UNPINNED. Raises ValueError, which names the line that is wrong."""
    digests: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        image, _, digest = line.partition(" ")
        if not _NAME.fullmatch(image) or not (digest == UNPINNED or _DIGEST.fullmatch(digest)):
            raise ValueError(
                f"line {number} is not `registry/name:tag sha256:…` or `registry/name:tag {UNPINNED}`: {line}"
            )
        if image in digests:
            raise ValueError(f"line {number} names {image} a second time")
        digests[image] = digest
    return digests


def lock_text(digests: Mapping[str, str]) -> str:
    """Return the text of a lock file."""
    return _HEADER + "".join(f"{image} {digest}\n" for image, digest in sorted(digests.items()))


def pinned(image: str, digests: Mapping[str, str]) -> str:
    """Return `name:tag@sha256:…`, or the image itself if nobody has pinned it yet."""
    digest = digests.get(image, UNPINNED)
    return image if digest == UNPINNED else f"{image}@{digest}"


def digest_in_registry(image: str) -> str:
    """Ask the image's registry, by `skopeo`, for the digest that its tag means now. Raises OSError if that fails.

    It is that of the list of platforms, if there is one, so the lock holds for each of them.
    """
    done = subprocess.run(["skopeo", "inspect", "--raw", f"docker://{image}"], capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{image}: {done.stderr.decode(errors='replace').strip()}")
    return f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def pin(images: Iterator[str] | list[str], ask: Callable[[str], str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each image. Where a registry does not answer, keep what is known and show the reason."""
    digests = {}
    for image in images:
        try:
            digests[image] = ask(image)
        except OSError as exc:
            digests[image] = known.get(image, UNPINNED)
            sys.stderr.write(f"not pinned anew: {exc}\n")
    return digests


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.digests", description=__doc__)
    parser.add_argument("--check", action="store_true", help="report what is missing or unpinned, and ask nobody")
    parser.add_argument("--environment", action="store_true", help="print the compose file's images for its .env")
    options = parser.parse_args(arguments)
    known = read_lock(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    images = sorted({*build_images().values(), *compose_images().values()})
    if options.environment:
        for variable, image in compose_images().items():
            sys.stdout.write(f"{variable}={pinned(image, known)}\n")
        return 0
    if options.check:
        sys.stdout.writelines(f"{image}: {known.get(image, 'not in the lock')}\n" for image in images)
        return int(known.keys() != set(images))
    digests = pin(images, digest_in_registry, known)
    LOCK.write_text(lock_text(digests), encoding="utf-8")
    return int(UNPINNED in digests.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
