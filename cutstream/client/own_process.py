"""A client belongs to the process that made it: its threads, locks and connections do not survive a fork."""

from __future__ import annotations

import os

from cutstream.client.errors import ClientForked


class OwnProcess:
    """The process in which this was made. It asks for no lock: one that was held during a fork is never free again."""

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_here(self) -> bool:
        return os.getpid() == self._id

    def check(self) -> None:
        """Raise ClientForked in any other process."""
        if not self.is_here:
            raise ClientForked(
                f"this client was made in process {self._id}, and this is process {os.getpid()}, forked from it: "
                "each process needs its own, so make a client after the fork"
            )
