"""The examples of docs/client.md: what the page shows is what the tests run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.generate.documents import FOLDER

OVER_KAFKA = {
    "python": ("producer.py", "consumer.py"),
    "java": ("Producer.java", "Consumer.java"),
    "javascript": ("producer.mjs", "consumer.mjs"),
}
OVER_HTTP = {"python": "job.py", "java": "Job.java", "javascript": "job.mjs"}

_MARKED = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_CACHE = Path.home() / ".cache" / "cutstream-tests"
_KAFKAJS = "2.2.4"
_INSTALL_S = 120


def examples() -> dict[str, str]:
    """Return the examples of the page by their names, which are file names for those of other languages."""
    return dict(_MARKED.findall((FOLDER / "client.md").read_text(encoding="utf-8")))


def command_of(name: str, folder: Path, jars: Path) -> list[str]:
    """Return the command that runs an example from a folder. Skips the test, by name, where its runtime is missing."""
    match Path(name).suffix:
        case ".py":
            return [sys.executable, name]
        case ".java":
            if shutil.which("javac") is None:  # whose compiler `java File.java` needs
                pytest.skip("needs a JDK, with javac")
            return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", name]
        case ".mjs":
            if shutil.which("node") is None:
                pytest.skip("needs Node.js")
            modules = folder / "node_modules"
            if "kafkajs" in (folder / name).read_text(encoding="utf-8") and not modules.exists():
                modules.symlink_to(_kafkajs())
            return ["node", name]
        case suffix:
            raise AssertionError(f"no way is known to run {suffix}")


def _kafkajs() -> Path:
    """Return a folder with KafkaJS, which is downloaded once (3 MB). Skips the test where that is impossible."""
    folder = _CACHE / f"kafkajs-{_KAFKAJS}"
    modules = folder / "node_modules"
    if not (modules / "kafkajs" / "package.json").is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, to install KafkaJS")
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--no-save", "--fetch-retries=0"]
        try:
            done = subprocess.run(
                [npm, "install", *options, f"kafkajs@{_KAFKAJS}"], capture_output=True, timeout=_INSTALL_S
            )
        except subprocess.TimeoutExpired:
            pytest.skip("needs KafkaJS, and npm does not get it in time")
        if done.returncode != 0:
            pytest.skip(f"needs KafkaJS, and npm does not get it: {done.stderr.decode(errors='replace')[-200:]}")
    return modules


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run an example that does not end by itself, until the block is left."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
