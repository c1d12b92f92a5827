"""The built-in presets of refinement, and the bounds that every refinement keeps."""

from __future__ import annotations

from collections.abc import Mapping

from cutstream.constraints import nearest
from cutstream.errors import InvalidOption
from cutstream.matting.specs import Refinement

# The default: alpha as it is but for ghosts, with edges that follow the photo's.
SOFT = Refinement(fade_islands=True, edges="soft")

# Each makes a mask of 0 and 255. docs/evaluation.md, "Presets", shows what they do to real mattes.
BINARY: Mapping[str, Refinement] = {
    "base": Refinement(kernel=3, close=1, open=1, blur=3, threshold=127),
    "aggressive": Refinement(kernel=3, close=5, blur=3, threshold=100, dilate_kernel=7, dilate=3),
    "expanded": Refinement(kernel=5, close=2, open=1, blur=5, threshold=127, dilate_kernel=5, dilate=2),
    "smooth": Refinement(kernel=9, close=2, open=2, blur=15, threshold=127),
    "enhanced_edge": Refinement(kernel=3, close=1, open=1, edges="soft", threshold=127),
    "conservative": Refinement(kernel=9, open=2, threshold=160),
    "fine": Refinement(edges="soft", threshold=140),
    "alpha_matting": Refinement(kernel=5, dilate=1, edges="soft", threshold=145),
}
PRESETS: Mapping[str, Refinement] = {"soft": SOFT, **BINARY}

# The most footprint pixels visited per image pixel, times megapixels: about half a second on one core. Presets need
# 0.3 % of that.
MAX_WORK = 50_000
GAUSSIAN_WORK = 17  # footprint pixels that take as long as one pixel of a Gaussian's kernel, rows and columns together


def find_preset(name: str, presets: Mapping[str, Refinement] = PRESETS) -> Refinement:
    """Return the preset of this name. Raises `InvalidOption` with the known names."""
    try:
        return presets[name]
    except KeyError:
        known = ", ".join(presets)
        raise InvalidOption(f"refine: unknown preset {name!r}{nearest(name, presets)}; known are {known}") from None


def check_refinement(refinement: Refinement) -> None:
    """Raise `InvalidOption` for a kernel of even size, or for too much work on an image of one megapixel."""
    for name in ("kernel", "blur", "dilate_kernel", "feather"):
        size = getattr(refinement, name)
        if size and size % 2 == 0:
            raise InvalidOption(f"refine: `{name}` is {size}, but a kernel needs a middle pixel: give an odd size")
    check_work(refinement, megapixels=1.0)


def check_work(refinement: Refinement, megapixels: float) -> None:
    """Raise `InvalidOption` if large kernels on so many pixels would take a core too long."""
    passes = 2 * (refinement.close + refinement.open)
    dilate_kernel = refinement.dilate_kernel or refinement.kernel
    footprints = passes * refinement.kernel**2 + refinement.dilate * dilate_kernel**2
    work = (footprints + GAUSSIAN_WORK * (refinement.blur + refinement.feather)) * megapixels
    if work > MAX_WORK:
        raise InvalidOption(
            f"refine: kernels and counts add up to {work:,.0f} footprint pixels × megapixels, above {MAX_WORK:,}: "
            "use smaller ones, or scale 'long_side'"
        )
