from __future__ import annotations

from typing import NamedTuple

from cutstream.images import Matte, Pixels
from cutstream.images.geometry import Box


class ForegroundLayer(NamedTuple):
    """A subject's straight colours (`pixels`, u8 HWC RGB) and its alpha (u8 HW), both of the same size."""

    pixels: Pixels
    alpha: Matte

    def crop(self, box: Box) -> ForegroundLayer:
        return ForegroundLayer(self.pixels[box.slices], self.alpha[box.slices])
