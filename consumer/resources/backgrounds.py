"""Background pictures: fetched by address or by catalogue name, decoded, fitted to a canvas, and cached.

A request that waits, whatever for, holds a picture as a file alone. Its pixels may take a thousand times as much: they
belong to the cache, and are decoded again for the canvas if it did not keep them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from consumer.resources.cache import Cache
from consumer.resources.decoding.pool import DecoderPool
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.sources import Sources
from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.clock import Clock
from cutstream.compositing.background_picture import fit_picture
from cutstream.compositing.specs import Fit
from cutstream.contract.backgrounds import Entry, is_address
from cutstream.errors import (
    BackgroundFailed,
    BackgroundsFull,
    BackgroundUnavailable,
    FileTooLarge,
    RefusedAddress,
    RefusedBackground,
    ResolutionTooHigh,
    SourceFailed,
    SourceUnavailable,
    StoreUnavailable,
    UnreadableImage,
    UnsupportedImage,
    UnusableBackground,
)
from cutstream.images import Image, ImageWarning, Pixels
from cutstream.images.header import Header, read_header
from cutstream.images.memory import decoder_bytes

_BYTES_PER_PIXEL = 4  # RGB and alpha


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The file of a background that has been decoded once. It was fetched at `since_s` (monotonic)."""

    data: bytes
    digest: str  # SHA-256
    header: Header
    since_s: float
    has_alpha: bool
    warnings: tuple[ImageWarning, ...]

    @property
    def nbytes(self) -> int:
        return len(self.data)


class DecodedPicture:
    """A decoded background in host memory."""

    def __init__(self, image: Image) -> None:
        self.image = image

    @property
    def nbytes(self) -> int:
        alpha = self.image.alpha
        return self.image.pixels.nbytes + (0 if alpha is None else alpha.nbytes)


class OpenedBackground:
    """The picture that a request puts behind its subject. Thread-safe."""

    def __init__(
        self, file: PictureFile, decode: Callable[[PictureFile], DecodedPicture], cache: Cache, ops: ArrayOps
    ) -> None:
        self._file = file
        self._decode = decode
        self._cache = cache
        self._ops = ops

    @property
    def warnings(self) -> tuple[ImageWarning, ...]:
        """The warnings about the picture's file. Each message begins with `background: `."""
        return tuple(replace(warning, message=f"background: {warning.message}") for warning in self._file.warnings)

    def fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        """Return the picture at this size: u8 HWC RGB in the memory of `ops`. It is shared: do not modify it.

        Raises BackgroundsFull or UnusableBackground if it has to be decoded again, and cannot be.
        """
        shows_colour = fit == "contain" or self._file.has_alpha
        name = (self._file.digest, width, height, fit, colour if shows_colour else None)
        return self._cache.get("fitted", name, lambda: self._fit(width, height, fit, colour))

    def _fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        picture = self._decode(self._file)  # its memory counts as taken until this returns
        image = picture.image
        alpha = None if image.alpha is None else self._ops.to_device(image.alpha)
        return fit_picture(Image(self._ops.to_device(image.pixels), alpha), width, height, fit, colour, self._ops)


class BackgroundStore:
    """Opens background pictures. Thread-safe. `find_entry` finds a name as `BackgroundCatalogue.entry` does."""

    def __init__(
        self,
        find_entry: Callable[[str], Entry],
        sources: Sources,
        decoders: DecoderPool,
        cache: Cache,
        ops: ArrayOps,
        clock: Clock,
        *,
        max_age_s: float,
        max_pixels: int,
    ) -> None:
        self._find_entry = find_entry
        self._sources = sources
        self._decoders = decoders
        self._cache = cache
        self._ops = ops
        self._clock = clock
        self._max_age_s = max_age_s
        self._max_pixels = max_pixels
        # The largest accepted picture always has room, however small the cache is.
        self._most_bytes = max(cache.limit_bytes, _BYTES_PER_PIXEL * max_pixels)
        self._memory = PictureMemory(self._most_bytes, partial(cache.drop_oldest, "decoded"))
        self._decoding = PrioritySemaphore(self._most_bytes)  # in units of a byte

    def open(self, picture: str, again: bool = False) -> OpenedBackground:
        """Return the picture with this address or catalogue name.

        `again` says that the request comes from the retry topic: then its host has time to answer in any case.

        Raises UnknownBackground, RefusedBackground, BackgroundFailed or UnusableBackground for what the request got
        wrong; BackgroundUnavailable while an address does not answer; StoreUnavailable, BrokerUnavailable or
        BackgroundsFull while our own servers or memory are not available.
        """
        if is_address(picture):
            file = self._cache.get("file", picture, partial(self._from_address, picture, again), self._is_fresh)
        else:
            entry = self._find_entry(picture)
            file = self._cache.get("file", entry.sha256, partial(self._from_catalogue, picture, entry))
        return OpenedBackground(file, self._decoded_again, self._cache, self._ops)

    def has(self, picture: str) -> bool:
        """Return whether the picture can be opened without asking a host that the request names."""
        return not is_address(picture) or self._cache.has("file", picture, self._is_fresh)

    def _is_fresh(self, file: PictureFile) -> bool:
        return self._clock.monotonic() - file.since_s < self._max_age_s

    def _from_address(self, address: str, again: bool) -> PictureFile:
        since_s = self._clock.monotonic()
        with _as_background_errors("background"):
            data = self._sources.fetch(address, again)
            return self._checked(data, sha256(data).hexdigest(), since_s)

    def _from_catalogue(self, name: str, entry: Entry) -> PictureFile:
        since_s = self._clock.monotonic()
        with _as_background_errors(f"background {name!r}"):
            try:
                data = self._sources.fetch_own(entry.uri)
            except SourceUnavailable as exc:  # our own store, not the request's source: wait for it without end
                raise StoreUnavailable(f"background {name!r}: {exc}", exc.retry_after_s) from exc
            if sha256(data).hexdigest() != entry.sha256:
                raise SourceFailed(f"{entry.uri} is no longer the picture that was added: add it again")
            return self._checked(data, entry.sha256, since_s)

    def _checked(self, data: bytes, digest: str, since_s: float) -> PictureFile:
        """Decode the file, so that one that cannot be decoded fails before any work on the photo."""
        header = read_header(data, self._max_pixels)
        image = self._decoded(data, digest, header).image
        return PictureFile(data, digest, header, since_s, image.alpha is not None, image.warnings)

    def _decoded_again(self, file: PictureFile) -> DecodedPicture:
        with _as_background_errors("background"):
            return self._decoded(file.data, file.digest, file.header)

    def _decoded(self, data: bytes, digest: str, header: Header) -> DecodedPicture:
        return self._cache.get("decoded", digest, lambda: self._decode(data, header))

    def _decode(self, data: bytes, header: Header) -> DecodedPicture:
        def decode() -> DecodedPicture:
            # Waiting is safe here: whoever decodes needs nothing that a waiting caller holds. What needs more than
            # there is goes alone.
            with self._decoding.acquire(units=min(decoder_bytes(header, len(data)), self._most_bytes)):
                image = self._decoders.decode(data, header)
            return DecodedPicture(replace(image, icc=None, dpi=None))

        return self._memory.allocate(_BYTES_PER_PIXEL * header.pixels, decode)


class PictureMemory:
    """Bounds the memory of decoded pictures, cached or being made or fitted. Thread-safe.

    A caller that finds no room fails instead of waiting: it would hold a slot that others could use.
    """

    def __init__(self, total_bytes: int, drop_oldest: Callable[[], bool]) -> None:
        self._total = total_bytes
        self._drop_oldest = drop_oldest
        self._used = 0
        self._lock = threading.RLock()  # the collector may free a picture, and so re-enter, while this is held

    def allocate(self, amount: int, make: Callable[[], DecodedPicture]) -> DecodedPicture:
        """Return what `make` returns; it takes up `amount` bytes for as long as it lives. Raises BackgroundsFull."""
        while not self._take(amount):
            if not self._drop_oldest():
                raise BackgroundsFull("backgrounds that are being decoded fill CUTSTREAM_WORKER__BACKGROUND_BYTES")
        try:
            picture = make()
        except BaseException:
            self._give_back(amount)
            raise
        weakref.finalize(picture, self._give_back, amount)
        return picture

    def _take(self, amount: int) -> bool:
        with self._lock:
            fits = self._used + amount <= self._total
            self._used += amount if fits else 0
            return fits

    def _give_back(self, amount: int) -> None:
        with self._lock:
            self._used -= amount


@contextmanager
def _as_background_errors(subject: str) -> Iterator[None]:
    """Turn the errors of sources into those of backgrounds, so that nobody looks for the fault in the photo."""
    try:
        yield
    except SourceUnavailable as exc:
        raise BackgroundUnavailable(f"{subject}: {exc}", exc.retry_after_s, exc.answered) from exc
    except SourceFailed as exc:
        raise BackgroundFailed(f"{subject}: {exc}", exc.retryable) from exc
    except RefusedAddress as exc:
        raise RefusedBackground(f"{subject}: {exc}", exc.points_to) from exc
    except (FileTooLarge, UnsupportedImage, ResolutionTooHigh, UnreadableImage) as exc:
        raise UnusableBackground(f"{subject}: {exc}") from exc
