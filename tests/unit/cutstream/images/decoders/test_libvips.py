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
LOST = """
import sys
from cutstream.errors import UnreadableImage
from cutstream.images.decode import decode
from cutstream.images.decoders import libvips
from cutstream.images.header import read_header
data = sys.stdin.buffer.read()

def log(level, message):
    raise MemoryError

kept, libvips._remarks.log = libvips._remarks.log, log
for _ in range(3):
    try:
        decode(data, read_header(data, 1_000_000))
    except UnreadableImage as error:
        print(error)
libvips._remarks.log = kept
print(decode(data, read_header(data, 1_000_000)).width)
"""
TIFF = write_tiff([Page(photo(), tags={65000: (3, 1)})])


@pytest.mark.parametrize("file", [plain(), plain()[:-300] + b"\xff\xd9", TIFF, TIFF[: len(TIFF) // 2]])
def test_nothing_reaches_the_log_and_few_threads_run(file: bytes) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=file, capture_output=True, check=True)
    assert run.stderr == b""
    threads, size = run.stdout.split()[-2:]
    assert int(threads) <= 2
    assert size == b"small"


def test_a_remark_for_which_there_is_no_memory_fails_its_file_alone_and_quietly() -> None:
    """It may have been about missing pixels. Python would print it, and go on."""
    run = subprocess.run([sys.executable, "-c", LOST], input=TIFF, capture_output=True, check=True)
    assert run.stderr == b""
    *errors, width = run.stdout.decode().splitlines()
    assert len(errors) == 3
    assert all("takes more memory than a decoder may use" in error for error in errors)
    assert int(width) == photo().shape[1]
