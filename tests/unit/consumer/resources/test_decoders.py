"""The pool of real decoder processes, which the tests stop and kill while they hold a photo."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import skimage
from PIL import Image as Pillow

from consumer.resources.decoders import KEPT_SLOT_BYTES, DecoderPool
from cutstream.errors import DecoderFailed, UnreadableImage, UnsupportedImage
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.encode import encode
from cutstream.images.header import Header, read_header

MAX_PIXELS = 25_000_000
DATA = Path(skimage.__file__).parent / "data"


def saved(name: str, format: str, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Pillow.open(DATA / name).convert(mode).save(buffer, format, dpi=(300, 300))
    return buffer.getvalue()


PHOTO = saved("coffee.png", "JPEG")
HEADER = read_header(PHOTO, MAX_PIXELS)


def make_pool(processes: int, timeout_s: float, on_restart: Callable[[], None] = lambda: None) -> DecoderPool:
    return DecoderPool(processes, timeout_s, max_bytes=5_000_000, max_pixels=MAX_PIXELS, on_restart=on_restart)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = make_pool(2, timeout_s=20)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def restarts() -> list[float]:
    return []


@pytest.fixture
def single(restarts: list[float]) -> Iterator[DecoderPool]:
    pool = make_pool(1, timeout_s=0.4, on_restart=lambda: restarts.append(time.monotonic()))
    pool.start()
    yield pool
    pool.close()


def equal(first: Image, second: Image) -> bool:
    assert (first.alpha is None) == (second.alpha is None)
    if first.alpha is not None and second.alpha is not None:
        assert np.array_equal(first.alpha, second.alpha)
    return np.array_equal(first.pixels, second.pixels) and (first.format, first.icc, first.dpi) == (
        second.format,
        second.icc,
        second.dpi,
    )


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def bomb(side: int) -> tuple[bytes, Header]:
    """Return a PNG whose header declares side × side RGB pixels, and which has no pixels, with that header."""
    ihdr = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body, Header("png", side, side)


def test_photos_are_equal_to_those_decoded_in_this_process(pool: DecoderPool) -> None:
    files = [PHOTO, saved("chelsea.png", "PNG", "RGBA"), saved("astronaut.png", "WEBP"), saved("rocket.jpg", "TIFF")]
    cutout = np.dstack([np.asarray(Pillow.open(DATA / "chelsea.png")), np.eye(300, 451, dtype=np.uint8) * 200])
    files.append(encode(cutout, "png"))
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(pool.decode, file, read_header(file, MAX_PIXELS)) for file in files * 4]
    for file, future in zip(files * 4, futures, strict=True):
        assert equal(future.result(), decode(file, read_header(file, MAX_PIXELS)))


def test_the_caller_owns_the_arrays(pool: DecoderPool) -> None:
    first = pool.decode(PHOTO, HEADER)
    before = first.pixels.copy()
    first.pixels[:5] = 0
    pool.decode(saved("chelsea.png", "PNG"), read_header(saved("chelsea.png", "PNG"), MAX_PIXELS))
    assert np.array_equal(first.pixels[5:], before[5:])


def test_an_unreadable_photo_does_not_end_its_process(pool: DecoderPool) -> None:
    before = pool.pids
    with pytest.raises(UnreadableImage, match="truncated"):
        pool.decode(PHOTO[: len(PHOTO) // 2], HEADER)
    floats = BytesIO()
    Pillow.fromarray(np.zeros((4, 4), np.float32)).save(floats, "TIFF")
    with pytest.raises(UnsupportedImage):
        pool.decode(floats.getvalue(), Header("tiff", 4, 4))
    assert pool.pids == before


def test_a_decompression_bomb_fails_and_its_process_survives(pool: DecoderPool) -> None:
    before = pool.pids
    with pytest.raises(UnreadableImage, match="more memory"):
        pool.decode(*bomb(20_000))
    assert pool.pids == before
    assert pool.decode(PHOTO, HEADER).width == HEADER.width


def test_signals_of_the_terminal_are_ignored(pool: DecoderPool) -> None:
    before = pool.pids
    for pid in before:
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    for _ in range(4):
        pool.decode(PHOTO, HEADER)
    assert pool.pids == before


def test_the_shared_memory_of_a_large_photo_is_released(pool: DecoderPool) -> None:
    side = int((KEPT_SLOT_BYTES / 4) ** 0.5) + 100
    large = encode(np.zeros((side, side, 3), np.uint8), "png")
    assert pool.decode(large, read_header(large, MAX_PIXELS)).pixels.max() == 0
    mapped = (part for pid in pool.pids for part in psutil.Process(pid).memory_maps())
    slots = [part.rss for part in mapped if "cutstream-decoder" in part.path]
    assert len(slots) == 2
    assert sum(slots) < KEPT_SLOT_BYTES / 10


def test_a_crash_fails_its_photo_and_the_process_is_replaced(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        crashing = threads.submit(single.decode, PHOTO, HEADER)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnreadableImage, match="crashed on this jpeg"):
            crashing.result()
    assert single.pids != (pid,)
    assert len(restarts) == 1
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))


def test_a_hang_fails_its_photo_and_the_process_is_replaced(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(UnreadableImage, match=r"longer than 0\.4 s"):
        single.decode(PHOTO, HEADER)
    assert 0.4 <= restarts[0] - started < 5
    assert has_ended(pid)
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))


def test_an_idle_process_that_dies_fails_no_photo(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))
    assert len(restarts) == 1


def test_a_crash_fails_no_other_photo(pool: DecoderPool) -> None:
    victim = pool.pids[0]
    os.kill(victim, signal.SIGSTOP)
    with ThreadPoolExecutor(6) as threads:
        futures: list[Future[Image]] = [threads.submit(pool.decode, PHOTO, HEADER) for _ in range(12)]
        wait_until(lambda: sum(future.done() for future in futures) == 11)
        os.kill(victim, signal.SIGKILL)
    errors = [future.exception() for future in futures if future.exception() is not None]
    assert [type(error) for error in errors] == [DecoderFailed]
    assert victim not in pool.pids


def test_a_closed_pool_leaves_no_process_and_no_file_descriptor() -> None:
    before = set(os.listdir("/proc/self/fd"))
    pool = make_pool(2, timeout_s=5)
    pool.start()
    pids = pool.pids
    pool.decode(PHOTO, HEADER)
    pool.close()
    assert all(has_ended(pid) for pid in pids)
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_processes_end_when_their_parent_is_killed() -> None:
    program = """
import sys, time
from consumer.resources.decoders import DecoderPool
pool = DecoderPool(2, 5, max_bytes=1000, max_pixels=1000, on_restart=lambda: None)
pool.start()
print(*pool.pids, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    wait_until(lambda: all(has_ended(pid) for pid in pids))


def test_a_decoder_process_does_not_import_the_large_libraries() -> None:
    program = "import sys, consumer.resources.decoder_process; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert {"PIL", "numpy"} <= imported
    assert imported.isdisjoint({"cv2", "scipy", "pydantic", "msgspec", "grpc", "kafka", "obstore", "tritonclient"})
