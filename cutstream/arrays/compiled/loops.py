"""All compiled loops. To import this module takes half a second, or some seconds where they were never compiled."""

from __future__ import annotations

from cutstream.arrays.compiled.fit_colours import fit_colours
from cutstream.arrays.compiled.foreground import foreground_solve, foreground_sweep
from cutstream.arrays.compiled.local_linear import local_linear
from cutstream.arrays.compiled.rgba import rgba

__all__ = ["fit_colours", "foreground_solve", "foreground_sweep", "local_linear", "rgba"]
