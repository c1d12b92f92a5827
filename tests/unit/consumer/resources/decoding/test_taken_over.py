"""What a decoder process can do to the worker and the machine if its file has taken it over: nothing but fail."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms

from consumer.resources.decoding import decoder
from consumer.resources.decoding.output import LINES
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.decoding.protocol import MAX_MESSAGE_CHARACTERS, MAX_WARNINGS
from cutstream.errors import DecoderFailed, UnreadableImage
from cutstream.images import Image
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES
from cutstream.images.header import Header
from tests.support import obedient_decoder
from tests.support.obedient_decoder import HEADER, wait_until

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Counts:
    def __init__(self) -> None:
        self.restarts = 0
        self.dropped = 0


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> Iterator[DecoderPool]:
    def restarted() -> None:
        counts.restarts += 1

    def dropped(lines: int) -> None:
        counts.dropped += lines

    obedient_decoder.install(monkeypatch)
    monkeypatch.setenv("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY", "hunter2")
    pool = DecoderPool(1, 2.0, max_bytes=1_000_000, max_pixels=100_000, on_restart=restarted, on_dropped_lines=dropped)
    pool.start()
    yield pool
    pool.close()


def run(pool: DecoderPool, program: str, header: Header = HEADER) -> Image:
    return pool.decode(program.encode(), header)


def notes(pool: DecoderPool, program: str) -> list[str]:
    return [warning.message for warning in run(pool, program).warnings]


def held_bytes(pid: int, kind: str) -> int:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status[kind].split()[0]) * 1024


def works(pool: DecoderPool) -> bool:
    image = run(pool, "")
    return image.pixels.shape == (30, 40, 3) and bool((image.pixels == 7).all())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os._exit(3)", "exit status 3"),
        ("raise SystemExit", "no valid answer|exit status"),
        ("import os; os.close(connection)", "no valid answer|exit status"),
    ],
)
def test_a_crash_fails_its_request_alone(pool: DecoderPool, counts: Counts, program: str, reason: str) -> None:
    with pytest.raises(DecoderFailed, match=f"crashed on this png.*({reason})") as failed:
        run(pool, program)
    assert (failed.value.points_to, failed.value.retryable) == ("request", False)
    assert works(pool)
    assert counts.restarts == 1


def decode_and_kill(pool: DecoderPool, times: int) -> Image:
    """Decode a file whose first decoders are killed while they are at it."""
    with ThreadPoolExecutor(1) as threads:
        slot = pool._decoders[0]._mapped()
        decoding = threads.submit(run, pool, "import time\nmemory[-1] = 1\nwhile not memory[-2]: time.sleep(0.01)")
        for _ in range(times):
            wait_until(lambda: slot[-1] == 1)
            slot[-1] = 0
            os.kill(pool.pids[0], signal.SIGKILL)
        wait_until(lambda: slot[-1] == 1 or decoding.done())
        slot[-2] = 1
        return decoding.result()


def test_a_file_whose_decoder_is_killed_gets_one_more(pool: DecoderPool, counts: Counts) -> None:
    assert decode_and_kill(pool, 1).width == 40
    assert counts.restarts == 1


def test_a_file_whose_decoder_is_killed_twice_fails_and_points_to_the_deployment(
    pool: DecoderPool, counts: Counts
) -> None:
    with pytest.raises(DecoderFailed, match=r"SIGKILL.*out of memory") as failed:
        decode_and_kill(pool, 2)
    assert (failed.value.points_to, failed.value.retryable) == ("deployment", True)
    assert works(pool)
    assert counts.restarts == 2


def test_a_hang_in_c_code_is_ended_and_points_to_its_request(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matching this pattern takes years and never gives Python's lock away."""
    monkeypatch.setattr(decoder, "BUSY_SHARE", 0.05)  # other programs may use this machine too
    with pytest.raises(DecoderFailed, match=r"longer than 2 s$") as failed:
        run(pool, "import re; re.match('(a+)+b', 'a' * 60)")
    assert failed.value.points_to == "request"
    assert works(pool)


def test_a_decoder_without_processor_time_points_to_the_deployment(pool: DecoderPool) -> None:
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(DecoderFailed, match=r"longer than 2 s, of which the decoder ran for 0\.\d s") as failed:
        run(pool, "")
    assert failed.value.points_to == "deployment"
    assert works(pool)


def test_a_decoder_that_sleeps_while_it_answers_holds_nobody(pool: DecoderPool) -> None:
    with ThreadPoolExecutor(1) as threads:
        stopped = threads.submit(run, pool, "import time; time.sleep(60)")
        assert isinstance(stopped.exception(20), DecoderFailed)
    assert works(pool)


@pytest.mark.parametrize(
    "program",
    [
        "held = bytearray(2_000_000_000)",
        "np.ones(300_000_000)",
        "import mmap; mmap.mmap(-1, 2_000_000_000)",
        "held = [bytes(1000) for _ in range(10_000_000)]",
        "raise ValueError('out of memory --- size == 12MB')",
    ],
)
def test_a_file_gets_no_more_memory_than_its_header_is_worth(pool: DecoderPool, counts: Counts, program: str) -> None:
    with pytest.raises(UnreadableImage, match="decoding this png takes more memory than") as failed:
        run(pool, program)
    assert failed.value.points_to == "request"
    assert works(pool)
    assert counts.restarts == 0


def test_no_file_fails_for_what_was_decoded_before_it(pool: DecoderPool, counts: Counts) -> None:
    """What a file leaves in the process neither counts towards the next file's share nor stays for long."""

    def leave(amount: int) -> None:
        with pytest.raises(UnreadableImage, match="KeyError"):
            run(pool, f"import sys; sys.left = bytearray(b'1') * {amount}; raise KeyError", Header("png", 8_000, 6_000))

    leave(50_000_000)
    assert works(pool)
    run(pool, "room = bytearray(b'1') * 50_000_000")
    assert counts.restarts == 0
    leave(90_000_000)
    assert counts.restarts == 1  # it is replaced before the next file comes
    assert works(pool)


def test_what_an_exception_holds_is_freed(pool: DecoderPool, counts: Counts) -> None:
    program = """
held = [bytearray(b'1') * 90_000_000]
held.append(held)
raise ValueError
"""
    for _ in range(3):
        with pytest.raises(UnreadableImage):
            run(pool, program, Header("png", 8_000, 6_000))
    assert counts.restarts == 0


def test_a_library_that_aborts_without_memory_is_named_too(pool: DecoderPool) -> None:
    with pytest.raises(DecoderFailed, match="decoding this png takes more memory than"):
        run(pool, "import os; os.write(2, b'GLib-ERROR: failed to allocate 9 bytes\\n'); os.abort()")
    assert works(pool)


def test_every_other_exception_is_named_without_a_restart(pool: DecoderPool, counts: Counts) -> None:
    with pytest.raises(UnreadableImage, match="the png is truncated or damaged: KeyError: 'palette'"):
        run(pool, "{}['palette']")
    with pytest.raises(UnreadableImage, match=r"the png is truncated or damaged: .*unable to write to memory"):
        run(pool, "raise ValueError('unable to write to memory\\n  bad Huffman code')")
    assert counts.restarts == 0


def test_the_slot_can_be_neither_cut_nor_grown(pool: DecoderPool) -> None:
    """Reading behind the end of a file that was cut would kill the worker."""
    slot = pool._decoders[0]._slot_fd
    for size in (0, 10**9):
        with pytest.raises(OSError, match=r"Operation not permitted|File too large"):
            os.ftruncate(slot, size)


def test_pickled_programs_are_not_run(pool: DecoderPool, counts: Counts, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str, int]]:
            return os.mkdir, (str(tmp_path / "taken"), 0o700)

    with pytest.raises(DecoderFailed, match="no valid answer"):
        run(pool, f"import os; os.write(connection, {pickle.dumps(Attack())!r}); import time; time.sleep(60)")
    assert not (tmp_path / "taken").exists()
    assert counts.restarts == 1


@pytest.mark.parametrize(
    "program",
    [
        "image = Image(np.zeros((31, 40, 3), np.uint8))",
        "image = Image(np.zeros((30, 40, 3), np.uint8), dpi=(float('nan'), 1.0))",
        "image = Image(np.zeros((30, 40, 3), np.uint8), dpi=(-1.0, 1.0))",
        "image = Image(np.zeros((30, 40, 3), np.uint8), dpi=(1e307, 1.0))",
        "import os; os.write(connection, bytes(100_000)); import time; time.sleep(60)",
        "import os; os.write(connection, b'\\x91' * 60_000); import time; time.sleep(60)",
        "image = Image(np.zeros((0, 40, 3), np.uint8))",
        f"image = Image(image.pixels, icc=bytes({MAX_PROFILE_BYTES + 1}))",
    ],
)
def test_an_answer_that_cannot_be_is_a_crash(pool: DecoderPool, counts: Counts, program: str) -> None:
    with pytest.raises(DecoderFailed, match="no valid answer"):
        run(pool, program)
    assert works(pool)
    assert counts.restarts == 1


@pytest.mark.parametrize(
    "program",
    [
        "decoder_process.from_srgb = lambda pixels, icc: os.abort()",
        "decoder_process._convert = lambda slot, colours: 'yes'",
        "decoder_process.Converted = lambda *fields: decoder_process.Ready(0.0, '')",
        "decoder_process.Converted = lambda *fields: decoder_process.describe(image, 0.0)",
    ],
)
def test_a_decoder_that_breaks_while_it_converts_colours_fails_its_request_alone(
    pool: DecoderPool, counts: Counts, program: str
) -> None:
    pixels = np.full((30, 40, 3), 7, np.uint8)
    run(pool, f"import os\nfrom consumer.resources.decoding import decoder_process\n{program}")
    with pytest.raises(DecoderFailed, match="crashed on this colour profile"):
        pool.to_profile(pixels, SRGB)
    assert pool.to_profile(pixels, SRGB) is not None
    assert counts.restarts == 1


def test_profiles_and_warnings_are_bounded(pool: DecoderPool) -> None:
    image = run(pool, f"image = Image(image.pixels, icc=bytes({MAX_PROFILE_BYTES}), dpi=(300.0, 300.0))")
    assert (len(image.icc or b""), image.dpi, image.warnings) == (MAX_PROFILE_BYTES, (300.0, 300.0), ())
    said = notes(pool, "notes += ['\\udc80' + 'é' * 10_000] * 100")
    assert said == ["?" + "é" * (MAX_MESSAGE_CHARACTERS - 1)] * MAX_WARNINGS


def test_a_slot_that_is_filled_in_secret_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    obedient_decoder.install(monkeypatch)
    pool = DecoderPool(1, 20, max_bytes=200_000_000, max_pixels=100_000, on_restart=lambda: None)
    pool.start()
    try:
        run(pool, "for at in range(0, len(memory), 4096): memory[at] = 1")
        assert os.fstat(pool._decoders[0]._slot_fd).st_blocks * 512 <= 64_000_000
    finally:
        pool.close()


def test_what_a_decoder_writes_is_bounded_and_counted(
    pool: DecoderPool, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        flood = r"os.write(2, b'TIFFReadDirectory: \x1b[31m\xff tag ignored.\n' * 500)"
        assert run(pool, f"import os\nfor _ in range(400): {flood}").width == 40
        run(pool, "print('x' * 1_000_000, flush=True)")
        pool.close()
    lines = [record.message for record in caplog.records]
    assert lines == ["decoder: TIFFReadDirectory: \\x1b[31m\\xff tag ignored."] * LINES
    assert counts.dropped == 400 * 500 + 1 - LINES


def test_memory_of_a_large_picture_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    obedient_decoder.install(monkeypatch)
    header = Header("png", 5000, 4000)
    pool = DecoderPool(1, 20, max_bytes=1_000_000, max_pixels=20_000_000, on_restart=lambda: None)
    pool.start()
    try:
        run(pool, "import sys; held = [b'x' * 1_000_000 for _ in range(110)]; sys.last = b'x' * 1_000_000", header)
        wait_until(lambda: held_bytes(pool.pids[0], "RssAnon") < 90_000_000)
        assert held_bytes(pool.pids[0], "RssShmem") <= 64_000_000
    finally:
        pool.close()
