"""How libvips runs in a decoder process: quiet, with few threads, and nobody notices that it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.pictures.jpeg import plain
from tests.support.pictures.tiff_writer import Page, write_tiff
from tests.support.pictures.truth import photo

PROGRAM = """
import os, sys
from cutstream.errors import Poison
from cutstream.images.decode import decode
from cutstream.images.header import read_header
data = sys.stdin.buffer.read()
before = len(os.listdir("/proc/self/task"))
for _ in range(3):
    try:
        decode(data, read_header(data, 1_000_000))
    except Poison as error:
        print(error)
print(len(os.listdir("/proc/self/task")) - before, "large" if {"cv2", "scipy"} & {*sys.modules} else "small")
"""
TIFF = write_tiff([Page(photo(), tags={65000: (3, 1)})])


@pytest.mark.parametrize("file", [plain(), plain()[:-300] + b"\xff\xd9", TIFF, TIFF[: len(TIFF) // 2]])
def test_nothing_reaches_the_log_and_few_threads_run(file: bytes) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=file, capture_output=True, check=True)
    assert run.stderr == b""
    threads, size = run.stdout.split()[-2:]
    assert int(threads) <= 2
    assert size == b"small"
