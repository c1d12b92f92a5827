"""Decode in separate processes: a decoder's crash, hang or memory bomb costs one photo, never the worker.

File and pixels pass through one shared slot per process, which is mapped once and used for every photo. The slot is an
anonymous file (memfd): it leaves no name behind, and the kernel frees it with its last process. A process ends when
its connection closes, and so also when its parent dies.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TypeVar

from consumer.resources.decoding.decoder import Decoder, DecoderKilled, Limits, StartFailed
from consumer.resources.decoding.output import LineAllowance
from cutstream.clock import Clock, SystemClock
from cutstream.errors import DecoderFailed, DecodersUnavailable, Fatal
from cutstream.images import Image, Pixels
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES
from cutstream.images.header import Header
from cutstream.images.memory import decoder_bytes, most_decoder_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")

START_ATTEMPTS = 10
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class DecoderPool:
    """A fixed number of decoder processes. `decode` is thread-safe and waits for a free one.

    The caller that finds that a process has ended restarts it at once, while the others go on. If that fails, for
    instance because the machine has no memory left, a thread of the pool goes on trying; START_ATTEMPTS failures in a
    row while not one decoder runs are Fatal. `first_pause_s` is the pause after the first of them; it doubles.
    """

    def __init__(
        self,
        processes: int,
        timeout_s: float,
        *,
        max_bytes: int,
        max_pixels: int,
        on_restart: Callable[[], None],
        on_dropped_lines: Callable[[int], None] = lambda lines: None,
        clock: Clock | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        slot_bytes = max(max_bytes, 4 * max_pixels + MAX_PROFILE_BYTES)
        limits = Limits(slot_bytes, most_decoder_bytes(max_pixels, max_bytes), timeout_s)
        allowance = LineAllowance(clock or SystemClock(), on_dropped_lines)
        self._decoders = [Decoder(limits, allowance) for _ in range(processes)]
        self._on_restart = on_restart
        self._first_pause_s = first_pause_s
        self._lock = threading.Lock()  # guards what follows
        self._freed = threading.Condition(self._lock)  # what callers wait for
        self._broken = threading.Condition(self._lock)  # what the restarter waits for
        self._idle: list[Decoder] = []  # the last is taken first: the process used last has the warmest caches
        self._ended: list[Decoder] = []
        self._fatal: Fatal | None = None
        self._closed = threading.Event()
        self._restarter = threading.Thread(target=self._restart_ended, name="decoder-restart", daemon=True)

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(decoder.pid for decoder in self._decoders)

    @property
    def ready(self) -> bool:
        """Whether at least one decoder can be used."""
        with self._lock:
            return len(self._ended) < len(self._decoders)

    def start(self) -> None:
        """Raises Fatal if a decoder does not start."""
        try:
            for decoder in self._decoders:
                decoder.start()
            for decoder in self._decoders:
                decoder.await_ready()
        except StartFailed as error:
            self.close()
            raise Fatal(f"a decoder process does not start: {error}") from error
        if unfiltered := self._decoders[0].unfiltered:
            log.warning("decoders can reach files and networks: %s", unfiltered)
        self._idle.extend(self._decoders)
        self._restarter.start()

    def decode(self, data: bytes, header: Header) -> Image:
        """Decode one file into arrays of the caller's own. A file whose decoder is killed gets one more.

        Raises UnreadableImage, UnsupportedImage, or DecoderFailed if a decoder dies; DecodersUnavailable while none
        can be started.
        """
        return self._use(lambda decoder: decoder.decode(data, header, decoder_bytes(header, len(data))))

    def to_profile(self, pixels: Pixels, icc: bytes) -> Pixels | None:
        """Convert sRGB pixels, H×W×3, to the colours of a profile. Return None if that cannot be written to.

        It is done here because the profile is a stranger's. Raises as `decode` does.
        """
        return self._use(lambda decoder: decoder.to_profile(pixels, icc))

    def _use(self, work: Callable[[Decoder], T]) -> T:
        try:
            return self._use_once(work)
        except DecoderKilled as error:
            log.warning("once more: %s", error)
            return self._use_once(work)

    def _use_once(self, work: Callable[[Decoder], T]) -> T:
        decoder = self._take()
        try:
            result = work(decoder)
        except DecoderFailed:
            self._restart(decoder)
            raise
        except BaseException:
            self._hand_back(decoder)
            raise
        self._hand_back(decoder)
        return result

    def close(self) -> None:
        """End all processes. Call this when no `decode` is under way."""
        self._closed.set()
        with self._lock:
            self._broken.notify()
        if self._restarter.ident is not None:
            self._restarter.join()
        for decoder in self._decoders:
            decoder.close()

    def _take(self) -> Decoder:
        """Return a decoder that runs. One that has ended while idle is replaced: that is not this photo's fault."""
        while True:
            with self._lock:
                while not self._idle:
                    self._require_decoders()
                    self._freed.wait()
                decoder = self._idle.pop()
            if decoder.runs:
                return decoder
            self._restart(decoder)

    def _require_decoders(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        if len(self._ended) == len(self._decoders):
            raise DecodersUnavailable("no decoder process can be started at the moment")

    def _hand_back(self, decoder: Decoder) -> None:
        """Put back a decoder that has answered. One that is worn is replaced first: the next file finds it fresh."""
        if decoder.worn:
            with suppress(DecodersUnavailable):  # the answer is good all the same
                self._restart(decoder)
        else:
            self._put_back(decoder)

    def _put_back(self, decoder: Decoder) -> None:
        with self._lock:
            self._idle.append(decoder)
            self._freed.notify()

    def _restart(self, decoder: Decoder) -> None:
        """Restart a process that has ended. Raises DecodersUnavailable if that fails: the fault may be anybody's."""
        self._on_restart()
        try:
            decoder.start()
            decoder.await_ready()
        except StartFailed as error:
            log.warning("a decoder process does not start again: %s", error)
            with self._lock:
                self._ended.append(decoder)
                self._broken.notify()
                self._freed.notify_all()  # if it was the last one, nobody frees a decoder any more
            raise DecodersUnavailable(f"a decoder process does not start again: {error}") from error
        self._put_back(decoder)

    def _restart_ended(self) -> None:
        """Start the processes that the caller could not start. Runs on a thread of the pool."""
        while True:
            with self._lock:
                while not self._ended and not self._closed.is_set():
                    self._broken.wait()
                if self._closed.is_set():
                    return
                decoder = self._ended[0]
            if not self._restart_patiently(decoder):
                return
            with self._lock:
                self._ended.remove(decoder)
                self._idle.append(decoder)
                self._freed.notify()

    def _restart_patiently(self, decoder: Decoder) -> bool:
        """Start a process, with growing pauses. Return False if the pool is closed or given up meanwhile."""
        for attempt in count():
            if self._closed.wait(min(_LONGEST_PAUSE_S, self._first_pause_s * 2.0 ** min(attempt, 16))):
                return False
            try:
                decoder.start()
                decoder.await_ready()
            except StartFailed as error:
                if attempt + 1 >= START_ATTEMPTS and not self.ready:
                    self._give_up(error)
                    return False
            else:
                log.info("a decoder process has started again", extra={"pid": decoder.pid})
                return True
        raise AssertionError

    def _give_up(self, error: StartFailed) -> None:
        with self._lock:
            self._fatal = Fatal(f"no decoder process starts any more, after {START_ATTEMPTS} attempts: {error}")
