"""Errors that move a request to the retry topic without a try, because of what others have met at the same place."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cutstream.errors import BackgroundUnavailable, DestinationUnavailable, PlaceUnavailable, SourceUnavailable

Reason: TypeAlias = Literal["silent", "strangers", "crowded", "slow", "matting", "heavy"]
"""A label of `cutstream_untried_total`."""


class Untried(PlaceUnavailable):
    """A place was not tried, because of what others have met. `place` is the silent one, if one is to blame.

    It counts as an attempt if another request tries this very place meanwhile (`tried_by_another`).
    """

    def __init__(self, message: str, reason: Reason, place: str = "", tried_by_another: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.place = place
        self.tried_by_another = tried_by_another


class UntriedSource(Untried, SourceUnavailable):
    """The source was not tried."""


class UntriedBackground(Untried, BackgroundUnavailable):
    """The background was not tried."""


class UntriedDestination(Untried, DestinationUnavailable):
    """The destination was not tried."""

    def __init__(self, message: str, reason: Reason, is_ours: bool, tried_by_another: bool = False) -> None:
        super().__init__(message, reason, tried_by_another=tried_by_another)
        self.is_ours = is_ours
