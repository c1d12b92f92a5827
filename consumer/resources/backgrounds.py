"""Background pictures for requests: by address or by name of the catalogue, fetched, decoded, fitted, and kept."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256

from consumer.resources.cache import Cache
from consumer.resources.decoders import DecoderPool
from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import Clock
from cutstream.compositing.background_picture import fit_picture
from cutstream.compositing.specs import Fit
from cutstream.contract.backgrounds import Entry, is_address
from cutstream.contract.options import Background
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
from cutstream.images import Image, Pixels
from cutstream.images.header import read_header

_BYTES_PER_PIXEL = 4  # RGB and alpha


class Picture:
    """A decoded background in host memory; `digest` is the SHA-256 of its file, `since_s` (monotonic) its age."""

    def __init__(self, image: Image, digest: str, since_s: float) -> None:
        self.image = image
        self.digest = digest
        self.since_s = since_s

    @property
    def nbytes(self) -> int:
        alpha = self.image.alpha
        return self.image.pixels.nbytes + (0 if alpha is None else alpha.nbytes)


class Backdrop:
    """The picture that a request wants behind its subject. Thread-safe."""

    def __init__(self, picture: Picture, cache: Cache, ops: ArrayOps) -> None:
        self._picture = picture
        self._cache = cache
        self._ops = ops

    def fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        """u8 HWC RGB of that size, in the memory of `ops`; shared, so not to be modified. See `fit_picture`."""
        shows_colour = fit == "contain" or self._picture.image.alpha is not None
        name = (self._picture.digest, width, height, fit, colour if shows_colour else None)
        return self._cache.get("fitted", name, lambda: self._fit(width, height, fit, colour))

    def _fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        image = self._picture.image
        alpha = None if image.alpha is None else self._ops.to_device(image.alpha)
        return fit_picture(Image(self._ops.to_device(image.pixels), alpha), width, height, fit, colour, self._ops)


class Backgrounds:
    """Thread-safe. `entry` finds a name in the catalogue, as `Catalogue.entry` does."""

    def __init__(
        self,
        entry: Callable[[str], Entry],
        objects: ObjectStore,
        decoders: DecoderPool,
        cache: Cache,
        ops: ArrayOps,
        clock: Clock,
        *,
        age_s: float,
        max_pixels: int,
    ) -> None:
        self._entry = entry
        self._objects = objects
        self._decoders = decoders
        self._cache = cache
        self._ops = ops
        self._clock = clock
        self._age_s = age_s
        self._max_pixels = max_pixels
        # The largest accepted picture has room, however little is kept.
        self._room = Room(max(cache.limit_bytes, _BYTES_PER_PIXEL * max_pixels), cache.drop_oldest)

    def open(self, background: Background) -> Backdrop | None:
        """None where no picture is asked for.

        Raises UnknownBackground, RefusedBackground, BackgroundFailed or UnusableBackground; BackgroundUnavailable while
        an address does not answer; StoreUnavailable, BrokerUnavailable or BackgroundsFull while it is we who cannot.
        """
        image = background.image
        if image is None:
            return None
        if is_address(image):
            picture = self._cache.get("decoded", image, partial(self._from_address, image), self._is_fresh)
        else:
            entry = self._entry(image)
            picture = self._cache.get("decoded", entry.sha256, partial(self._from_catalogue, image, entry))
        return Backdrop(picture, self._cache, self._ops)

    def _is_fresh(self, picture: Picture) -> bool:
        return self._clock.monotonic() - picture.since_s < self._age_s

    def _from_address(self, address: str) -> Picture:
        since_s = self._clock.monotonic()
        with _told_of("background"):
            data = self._objects.fetch(address)
            return self._decoded(data, sha256(data).hexdigest(), since_s)

    def _from_catalogue(self, name: str, entry: Entry) -> Picture:
        since_s = self._clock.monotonic()
        with _told_of(f"background {name!r}"):
            try:
                data = self._objects.fetch_own(entry.uri)
            except SourceUnavailable as exc:  # not the request's own source, but our store: waited for without end
                raise StoreUnavailable(f"background {name!r}: {exc}", exc.retry_after_s) from exc
            if sha256(data).hexdigest() != entry.sha256:
                raise SourceFailed(f"{entry.uri} is no longer the picture that was added: add it again")
            return self._decoded(data, entry.sha256, since_s)

    def _decoded(self, data: bytes, digest: str, since_s: float) -> Picture:
        header = read_header(data, self._max_pixels)

        def make() -> Picture:
            image = self._decoders.decode(data, header)
            return Picture(Image(image.pixels, image.alpha), digest, since_s)

        return self._room.filled(_BYTES_PER_PIXEL * header.pixels, make)


class Room:
    """Memory for decoded pictures, kept or in use.

    Who finds none fails instead of waiting: those who could give some back may need the waiting one's place to end.
    """

    def __init__(self, total_bytes: int, drop_oldest: Callable[[], bool]) -> None:
        self._total = total_bytes
        self._drop_oldest = drop_oldest
        self._used = 0
        self._lock = threading.RLock()  # a picture may be collected, and its room given back, wherever this is held

    def filled(self, amount: int, make: Callable[[], Picture]) -> Picture:
        """What `make` returns; `amount` bytes are taken for as long as it lives. Raises BackgroundsFull."""
        while not self._take(amount):
            if not self._drop_oldest():
                raise BackgroundsFull("the backgrounds of photos under way fill CUTSTREAM_WORKER__BACKGROUND_BYTES")
        try:
            picture = make()
        except BaseException:
            self._give(amount)
            raise
        weakref.finalize(picture, self._give, amount)
        return picture

    def _take(self, amount: int) -> bool:
        with self._lock:
            fits = self._used + amount <= self._total
            self._used += amount if fits else 0
            return fits

    def _give(self, amount: int) -> None:
        with self._lock:
            self._used -= amount


@contextmanager
def _told_of(what: str) -> Iterator[None]:
    """The errors of sources as those of `what`, so that nobody looks for the fault in the photo."""
    try:
        yield
    except SourceUnavailable as exc:
        raise BackgroundUnavailable(f"{what}: {exc}", exc.retry_after_s) from exc
    except SourceFailed as exc:
        raise BackgroundFailed(f"{what}: {exc}", exc.retryable) from exc
    except RefusedAddress as exc:
        raise RefusedBackground(f"{what}: {exc}") from exc
    except (FileTooLarge, UnsupportedImage, ResolutionTooHigh, UnreadableImage) as exc:
        raise UnusableBackground(f"{what}: {exc}") from exc
