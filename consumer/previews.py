"""Small pictures of finished photos for the live page: of one a second at most, and of fewer if nobody watches."""

from __future__ import annotations

import logging
import threading

from consumer.jobs import Composed, Job, Preview, Progress
from cutstream.arrays.ops import ArrayOps
from cutstream.clock import Clock
from cutstream.errors import Poison
from cutstream.images import Pixels
from cutstream.images.encode import encode
from cutstream.images.geometry import reduced_size
from cutstream.watching.recent import Photo, Recent

log = logging.getLogger(__name__)

SIDE_PX = 160
_WATCHED_EVERY_S, _UNWATCHED_EVERY_S = 1.0, 5.0
_QUALITY = 75


class Previews:
    """Hands finished photos and failures to the page. Thread-safe, and never a reason for a photo to fail.

    A picture is drawn on the photo's own thread while its pixels are there anyway. It reaches the page once the photo
    is stored.
    """

    def __init__(self, recent: Recent, ops: ArrayOps, clock: Clock) -> None:
        self._recent = recent
        self._ops = ops
        self._clock = clock
        self._last_s = clock.monotonic() - _UNWATCHED_EVERY_S
        self._lock = threading.Lock()

    def observe(self, job: Job, progress: Progress, value: object) -> None:
        """Look at what a stage has returned, and draw the photo if it is its turn."""
        if isinstance(value, Composed) and self._is_due():
            try:
                progress.preview = self._draw(value)
            except Exception:
                log.warning("no small picture for the live page", exc_info=True, extra={"request": job.id})

    def note_success(self, job: Job, progress: Progress) -> None:
        """Show a photo that is stored, if it was drawn."""
        if progress.preview is not None:
            made = progress.preview
            seconds = self._clock.monotonic() - progress.started_s
            profile = progress.selection.profile if progress.selection else job.profile
            self._recent.photos.add(
                Photo(job.id, self._clock.wall(), profile, seconds, made.width, made.height, made.photo, made.cutout)
            )

    def note_failure(self, id: str, stage: str, error: Poison) -> None:
        self._recent.add_failure(id, self._clock.wall(), error.code, stage, str(error))

    def _is_due(self) -> bool:
        if not self._recent.shows_photos:
            return False
        every_s = _WATCHED_EVERY_S if self._recent.watched else _UNWATCHED_EVERY_S
        with self._lock:
            if self._clock.monotonic() - self._last_s < every_s:
                return False
            self._last_s = self._clock.monotonic()
            return True

    def _draw(self, value: Composed) -> Preview:
        outputs = {output.name: output for output in value.outputs}
        best = next((outputs[name] for name in ("cutout", "composite") if name in outputs), value.outputs[0])
        source = value.source
        with self._ops.errors():
            return Preview(self.small(source.pixels), self.small(best.layers[-1].pixels), source.width, source.height)

    def small(self, pixels: Pixels) -> bytes:
        """Return WebP, or JPEG of what is opaque, of at most SIDE_PX a side.

        What is much larger is first thinned out, which nobody sees here.
        """
        ops = self._ops
        step = max(1, max(pixels.shape[:2]) // (2 * SIDE_PX))
        thin = ops.xp.ascontiguousarray(pixels[::step, ::step])
        height, width = thin.shape[:2]
        size = reduced_size(width, height, SIDE_PX)
        if thin.ndim == 3 and thin.shape[2] == 4:
            colour, alpha = ops.shrink(
                ops.xp.ascontiguousarray(thin[:, :, :3]), ops.xp.ascontiguousarray(thin[:, :, 3]), *size
            )
            return encode(ops.to_host(ops.rgba(colour, alpha)), "webp", _QUALITY)  # sync
        return encode(ops.to_host(ops.resize_area(thin, *size)), "jpeg", _QUALITY)  # sync
