"""The lock names each image that others publish, and never a digest that no registry has said."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from deploy.images.digests import (
    LOCK,
    UNPINNED,
    build_images,
    compose_images,
    digest_in_registry,
    lock_text,
    pin,
    pinned,
    read_lock,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_the_lock_is_complete() -> None:
    assert read_lock(LOCK.read_text()).keys() == {*build_images().values(), *compose_images().values()}


def test_a_lock_is_read_as_it_was_written() -> None:
    digests = {"docker.io/library/python:3.12": DIGEST, "nvcr.io/nvidia/tritonserver:25.08-py3": UNPINNED}
    assert read_lock(lock_text(digests)) == digests


@pytest.mark.parametrize(
    "line",
    [
        "python:3.12 unpinned",  # no registry: it would be another's on another machine
        "docker.io/library/python unpinned",
        f"docker.io/library/python:3.12  {DIGEST}",
        "docker.io/library/python:3.12 sha256:short",
        "docker.io/library/python:3.12",
        f"docker.io/library/python:3.12 {DIGEST}\ndocker.io/library/python:3.12 unpinned",
    ],
)
def test_a_line_that_pins_nothing_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1 is not|line 2 names"):
        read_lock(line)


def test_an_image_is_named_by_tag_and_digest_once_it_is_pinned() -> None:
    assert pinned("a.b/c:1", {"a.b/c:1": DIGEST}) == f"a.b/c:1@{DIGEST}"
    assert pinned("a.b/c:1", {"a.b/c:1": UNPINNED}) == "a.b/c:1"
    assert pinned("a.b/c:1", {}) == "a.b/c:1"


def test_a_registry_that_does_not_answer_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def ask(image: str) -> str:
        if image.startswith("away"):
            raise OSError(f"{image}: no such host")
        return DIGEST

    images = ["away.io/a:1", "away.io/b:1", "here.io/c:1"]
    assert pin(images, ask, {"away.io/a:1": DIGEST}) == {
        "away.io/a:1": DIGEST,
        "away.io/b:1": UNPINNED,
        "here.io/c:1": DIGEST,
    }
    assert "not pinned anew: away.io/b:1: no such host" in capsys.readouterr().err


def test_the_digest_is_that_of_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "skopeo"
    program.write_text('#!/bin/sh\n[ "$3" = docker://a.b/c:1 ] || { echo unknown >&2; exit 1; }\nprintf manifest\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert digest_in_registry("a.b/c:1") == f"sha256:{sha256(b'manifest').hexdigest()}"
    with pytest.raises(OSError, match=r"a\.b/other:1: unknown"):
        digest_in_registry("a.b/other:1")
