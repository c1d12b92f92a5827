"""The pool of real decoder processes, which the tests stop and kill while they hold a photo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import skimage
from PIL import Image as Pillow
from PIL import ImageCms

from consumer.resources.decoding import pool as pools
from consumer.resources.decoding.pool import DecoderPool
from cutstream.errors import DecoderFailed, DecodersUnavailable, Fatal, UnreadableImage, UnsupportedImage
from cutstream.images import Image, colour
from cutstream.images.colour import from_srgb
from cutstream.images.decode import decode
from cutstream.images.encode import encode
from cutstream.images.header import Header, read_header
from tests.support import obedient_decoder
from tests.support.obedient_decoder import wait_until

MAX_PIXELS = 25_000_000
DATA = Path(skimage.__file__).parent / "data"


def saved(name: str, format: str, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Pillow.open(DATA / name).convert(mode).save(buffer, format, dpi=(300, 300))
    return buffer.getvalue()


PHOTO = saved("coffee.png", "JPEG")
HEADER = read_header(PHOTO, MAX_PIXELS)


def make_pool(processes: int, timeout_s: float, on_restart: Callable[[], None] = lambda: None) -> DecoderPool:
    return DecoderPool(
        processes,
        timeout_s,
        max_bytes=5_000_000,
        max_pixels=MAX_PIXELS,
        on_restart=on_restart,
        first_pause_s=0.05,
    )


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
    pool = make_pool(1, timeout_s=1.0, on_restart=lambda: restarts.append(time.monotonic()))
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


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


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


def adobe_rgb() -> bytes:
    """Return a profile of other primaries and another curve than sRGB's."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()).replace(
        b"para\0\0\0\0\0\3\0\0\0\2ff", b"para\0\0\0\0\0\3\0\0\0\1ff"
    )


@pytest.mark.parametrize("shape", [(1, 1, 3), (67, 31, 3), (300, 451, 3)])
def test_colours_are_converted_to_a_profile_as_in_this_process(pool: DecoderPool, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    expected = from_srgb(pixels, adobe_rgb())
    assert expected is not None
    assert shape == (1, 1, 3) or not np.array_equal(expected, pixels)
    np.testing.assert_array_equal(pool.to_profile(pixels, adobe_rgb()), expected)  # type: ignore[arg-type]


def test_this_process_reads_no_profile(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(icc: bytes, mode: str) -> None:
        raise AssertionError("a stranger's profile is read in the worker")

    monkeypatch.setattr(colour, "_FROM_SRGB", colour._Transforms(refuse))
    pixels = np.zeros((4, 5, 3), np.uint8)
    encoded = encode(pixels, "png", icc=adobe_rgb(), convert=pool.to_profile)
    assert Pillow.open(BytesIO(encoded)).info["icc_profile"] == adobe_rgb()


def test_a_profile_of_many_megabytes_is_written_to(pool: DecoderPool) -> None:
    assert pool.to_profile(np.zeros((4, 5, 3), np.uint8), adobe_rgb() + bytes(16_000_000)) is not None


def test_a_picture_larger_than_the_slot_is_converted_part_by_part() -> None:
    pool = DecoderPool(1, 20, max_bytes=1000, max_pixels=100, on_restart=lambda: None)
    pool.start()
    pixels = np.random.default_rng(1).integers(0, 256, (2000, 3000, 3), np.uint8)
    assert pixels.size > len(pool._decoders[0]._mapped())
    np.testing.assert_array_equal(pool.to_profile(pixels, adobe_rgb()), from_srgb(pixels, adobe_rgb()))  # type: ignore[arg-type]
    pool.close()


@pytest.mark.parametrize("icc", [b"", b"no profile", adobe_rgb()[:200], adobe_rgb().replace(b"RGB XYZ", b"CMYKXYZ")])
def test_a_profile_that_cannot_be_written_to_is_none(pool: DecoderPool, icc: bytes) -> None:
    before = pool.pids
    assert pool.to_profile(np.zeros((4, 5, 3), np.uint8), icc) is None
    assert pool.pids == before


def test_an_unreadable_photo_does_not_end_its_process(pool: DecoderPool) -> None:
    before = pool.pids
    with pytest.raises(UnreadableImage, match="truncated"):
        pool.decode(PHOTO[: len(PHOTO) // 2], HEADER)
    floats = BytesIO()
    Pillow.fromarray(np.zeros((4, 4), np.float32)).save(floats, "TIFF")
    with pytest.raises(UnsupportedImage):
        pool.decode(floats.getvalue(), Header("tiff", 4, 4))
    assert pool.pids == before


def test_signals_of_the_terminal_are_ignored(pool: DecoderPool) -> None:
    before = pool.pids
    for pid in before:
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    for _ in range(4):
        pool.decode(PHOTO, HEADER)
    assert pool.pids == before


def test_a_photo_whose_process_is_killed_gets_another_one(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        crashing = threads.submit(single.decode, PHOTO, HEADER)
        wait_until(lambda: not single._idle)
        os.kill(pid, signal.SIGKILL)
        assert equal(crashing.result(), decode(PHOTO, HEADER))
    assert single.pids != (pid,)
    assert len(restarts) == 1
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))


def test_a_hang_fails_its_photo_and_the_process_is_replaced(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(UnreadableImage, match="longer than 1 s"):
        single.decode(PHOTO, HEADER)
    assert restarts[0] - started >= 1.0
    assert has_ended(pid)
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))


def test_an_idle_process_that_dies_fails_no_photo(single: DecoderPool, restarts: list[float]) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))
    assert len(restarts) == 1


def test_a_killed_process_fails_no_photo(pool: DecoderPool) -> None:
    victim = pool.pids[0]
    os.kill(victim, signal.SIGSTOP)
    with ThreadPoolExecutor(6) as threads:
        futures: list[Future[Image]] = [threads.submit(pool.decode, PHOTO, HEADER) for _ in range(12)]
        wait_until(lambda: sum(future.done() for future in futures) == 11)
        os.kill(victim, signal.SIGKILL)
    assert [future.exception() for future in futures] == [None] * 12
    assert victim not in pool.pids


def test_many_time_outs_at_once_stop_nobody(restarts: list[float]) -> None:
    pool = make_pool(8, timeout_s=3.0, on_restart=lambda: restarts.append(time.monotonic()))
    pool.start()
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(16) as threads:
        futures = [threads.submit(pool.decode, PHOTO, HEADER) for _ in range(16)]
        outcomes = [type(future.exception()) for future in futures]
    assert (outcomes.count(DecoderFailed), outcomes.count(type(None))) == (8, 8)
    assert len(restarts) == 8
    pool.close()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Inside its `context`, no decoder process starts."""
    with monkeypatch.context() as context:
        obedient_decoder.run(context, "raise SystemExit('no room for libvips')")
        yield context


def kill(pool: DecoderPool, *pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_decoder_that_does_not_start_again_holds_up_its_photo_alone(pool: DecoderPool, broken: Any) -> None:
    kill(pool, pool.pids[0])
    outcomes = [outcome(pool) for _ in range(6)]
    assert outcomes.count(DecodersUnavailable) <= 1
    assert outcomes[-1] is None
    assert pool.ready
    broken.undo()
    wait_until(lambda: all(not has_ended(pid) for pid in pool.pids))


def test_without_any_decoder_photos_wait_and_nothing_stops(single: DecoderPool, broken: Any) -> None:
    kill(single, *single.pids)
    with pytest.raises(DecodersUnavailable, match="no room for libvips"):
        single.decode(PHOTO, HEADER)
    with pytest.raises(DecodersUnavailable, match="no decoder process can be started"):
        single.decode(PHOTO, HEADER)
    assert not single.ready
    broken.undo()
    wait_until(lambda: single.ready)
    assert equal(single.decode(PHOTO, HEADER), decode(PHOTO, HEADER))


def test_a_process_that_cannot_be_made_is_no_photos_fault(single: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(single, *single.pids)
    with monkeypatch.context() as context:
        context.setattr("consumer.resources.decoding.decoder.COMMAND", ("/nowhere/python",))
        with pytest.raises(DecodersUnavailable, match="No such file"):
            single.decode(PHOTO, HEADER)
    wait_until(lambda: single.ready)
    assert outcome(single) is None


def test_if_no_decoder_starts_any_more_the_worker_stops(
    single: DecoderPool, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "START_ATTEMPTS", 3)
    kill(single, *single.pids)
    assert outcome(single) is DecodersUnavailable
    wait_until(lambda: outcome(single) is Fatal)
    with pytest.raises(Fatal, match="after 3 attempts: no room for libvips"):
        single.decode(PHOTO, HEADER)


def test_a_pool_that_does_not_start_says_why(broken: Any) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(Fatal, match="a decoder process does not start: no room for libvips"):
        make_pool(2, 1).start()
    assert set(os.listdir("/proc/self/fd")) == before


def outcome(pool: DecoderPool) -> type[BaseException] | None:
    try:
        pool.decode(PHOTO, HEADER)
    except Exception as error:
        return type(error)
    return None


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
from consumer.resources.decoding.pool import DecoderPool
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


def test_the_worker_does_not_import_the_libraries_of_its_decoders() -> None:
    program = "import sys, consumer.app; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert imported.isdisjoint({"pyvips", "pi_heif"})


def test_a_decoder_process_does_not_import_the_large_libraries() -> None:
    program = (
        "import sys, consumer.resources.decoding.decoder_process; print(*{name.split('.')[0] for name in sys.modules})"
    )
    imported = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert {"PIL", "numpy"} <= imported
    assert imported.isdisjoint({"cv2", "scipy", "pydantic", "grpc", "kafka", "obstore", "tritonclient"})
