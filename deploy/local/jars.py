"""The jars of the embedded broker, verified against the committed lock.

`python -m deploy.local.jars` resolves them again and rewrites the lock, for instance for a new version of Kafka.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from cutstream.errors import ConfigurationError, StackError
from cutstream.ownership import why_planted, why_shared
from cutstream.settings import about

BROKER = "org.apache.kafka:kafka_2.13:4.4.0"
# Kafka comes without a logger. This one is resolved without its dependencies: Kafka has them already,
# and they would change versions, even that of kafka-clients.
LOGGER = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5")
LOCK = Path(__file__).with_name("kafka-jars.lock")
CONNECTIONS = 8
_BLOCK = 1 << 18

log = logging.getLogger(__name__)


class Jar(NamedTuple):
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def ensure_jars(folder: Path) -> list[Path]:
    """Return the locked jars in `folder`, all verified, after downloading missing and damaged ones.

    Raises StackError if other users could exchange one after that.
    """
    folder = folder.resolve()  # it may be a link, if nobody changes that from here on
    if problem := why_exchangeable(folder):
        raise StackError(about("stack", "jars", problem))
    if missing := missing_jars(folder):
        log.info("downloading %d jars of the embedded broker into %s", len(missing), folder)
        download(missing, folder)
    return [folder / jar.file for jar in read_lock()]


def why_exchangeable(folder: Path) -> str:
    """Return how other users could exchange a jar between its check and its use. Empty if they cannot."""
    folder = folder.resolve()
    return why_shared(folder) or why_planted(folder)


def missing_jars(folder: Path) -> list[Jar]:
    """Return the locked jars that `folder` does not hold, or holds damaged. Reads them all."""
    locked = read_lock()
    with ThreadPoolExecutor() as pool:
        digests = pool.map(digest, [folder / jar.file for jar in locked])
        return [jar for jar, found in zip(locked, digests, strict=True) if found != jar.sha256]


def download(jars: Iterable[Jar], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda jar: fetch(jar, Path(scratch), folder), jars):
            pass


def fetch(jar: Jar, scratch: Path, folder: Path) -> None:
    path = resolve(scratch, jar)
    if (actual := digest(path)) != jar.sha256:
        raise StackError(
            f"{jar.coordinate} was downloaded with SHA-256 {actual}, but {LOCK.name} has {jar.sha256}: a proxy or a "
            "mirror altered it, so it is not used"
        )
    path.replace(folder / jar.file)


def resolve(scratch: Path, jar: Jar) -> Path:
    try:
        from jgo.maven import MavenContext
    except ImportError as exc:
        raise ConfigurationError(
            "the embedded broker needs the package jgo: run `make setup` in the checkout, or name an existing broker "
            "in CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
        ) from exc
    context = MavenContext(repo_cache=scratch)
    try:
        path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (OSError, RuntimeError) as exc:  # requests' errors are OSErrors
        raise StackError(
            f"cannot download {jar.coordinate} from Maven Central: {exc}. On a machine without network, copy the jars "
            f"that {LOCK} lists into the folder of CUTSTREAM_STACK__JARS, or name an existing broker in "
            "CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
        ) from exc
    return path


def digest(path: Path) -> str | None:
    """Return the file's SHA-256, or None if this user has no such file to read."""
    sha256, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    try:
        with path.open("rb", buffering=0) as file:
            while length := file.readinto(block):  # to read a large file whole takes twice as long
                sha256.update(block[:length])
        return sha256.hexdigest()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def read_lock() -> list[Jar]:
    return [Jar(*line.replace(":", " ").split()) for line in LOCK.read_text().splitlines()]


def write_lock() -> None:
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    with TemporaryDirectory() as scratch:
        repository = Path(scratch, "repository")
        context = MavenContext(repo_cache=repository)
        EnvironmentBuilder(context, cache_dir=Path(scratch)).from_endpoint(BROKER)
        group, artifact, version = LOGGER
        context.project(group, artifact).at_version(version).artifact().resolve()
        lines = sorted(f"{coordinate(jar, repository)} {digest(jar)}\n" for jar in repository.rglob("*.jar"))
    LOCK.write_text("".join(lines))


def coordinate(jar: Path, repository: Path) -> str:
    *group, artifact, version, _ = jar.relative_to(repository).parts
    return f"{'.'.join(group)}:{artifact}:{version}"


if __name__ == "__main__":
    write_lock()
