"""Find photos in a thread of its own, a little ahead of those that send them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from producer.folders.sources import FoundPhoto

CHUNK = 1000
_AHEAD = 4 * CHUNK


class Feeder:
    """Runs an iterator of photos in a thread. A context manager. One thread takes from it.

    A list that grows slowly, such as that of a program in a pipe, is handed on as it grows.
    """

    def __init__(self, find: Callable[[], Iterator[FoundPhoto]]) -> None:
        self._find = find
        self._found: deque[FoundPhoto] = deque()
        self._change = threading.Condition()
        self._error: BaseException | None = None
        self._ended = False
        self._stopped = False

    def __enter__(self) -> Feeder:
        threading.Thread(target=self._run, name="feeder", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._change:  # a thread that waits for standard input is left to the end of the process
            self._stopped = True
            self._change.notify_all()

    @property
    def ended(self) -> bool:
        """True once all photos were found and taken."""
        with self._change:
            return self._ended and not self._found and self._error is None

    def take(self, timeout_s: float = 0.0) -> list[FoundPhoto]:
        """Return the next photos, a CHUNK at most. Empty if none are found in time. Raises what the iterator raised."""
        with self._change:
            self._change.wait_for(lambda: self._found or self._ended, timeout_s)
            if not self._found and self._error is not None:
                error, self._error = self._error, None
                raise error
            taken = [self._found.popleft() for _ in range(min(CHUNK, len(self._found)))]
            self._change.notify_all()
            return taken

    def _run(self) -> None:
        try:
            for photo in self._find():
                with self._change:
                    self._change.wait_for(lambda: len(self._found) < _AHEAD or self._stopped)
                    if self._stopped:
                        return
                    self._found.append(photo)
                    self._change.notify_all()
        except BaseException as exc:
            self._error = exc
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()
