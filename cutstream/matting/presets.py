"""What `request.refine` can name."""

from __future__ import annotations

from collections.abc import Mapping

from cutstream.constraints import nearest
from cutstream.contract.options import RefineParameters
from cutstream.errors import InvalidOption

SOFT = RefineParameters(edges="soft")  # the default: alpha as it is, its edges the photo's

# Each makes a mask of 0 and 255. What they do to real mattes: docs/evaluation.md, "Presets".
BINARY: Mapping[str, RefineParameters] = {
    "base": RefineParameters(kernel=3, close=1, open=1, blur=3, threshold=127),
    "aggressive": RefineParameters(kernel=3, close=5, blur=3, threshold=100, dilate_kernel=7, dilate=3),
    "expanded": RefineParameters(kernel=5, close=2, open=1, blur=5, threshold=127, dilate_kernel=5, dilate=2),
    "smooth": RefineParameters(kernel=9, close=2, open=2, blur=15, threshold=127),
    "enhanced_edge": RefineParameters(kernel=3, close=1, open=1, edges="soft", threshold=127),
    "conservative": RefineParameters(kernel=9, open=2, threshold=160),
    "fine": RefineParameters(edges="soft", threshold=140),
    "alpha_matting": RefineParameters(kernel=5, dilate=1, edges="soft", threshold=145),
}
PRESETS: Mapping[str, RefineParameters] = {"soft": SOFT, **BINARY}

# Footprint pixels visited per picture pixel, times megapixels: about half a second of one core. Presets need 0.3 %.
MAX_WORK = 50_000
GAUSSIAN_WORK = 17  # footprint pixels that a pixel of a Gaussian's kernel, rows and columns together, takes as long as


def parameters(how: str | RefineParameters, presets: Mapping[str, RefineParameters] = PRESETS) -> RefineParameters:
    """Of a preset or of the request itself. Raises `InvalidOption` for an unknown name or an impossible kernel."""
    if isinstance(how, str):
        return _preset(how, presets)
    for name in ("kernel", "blur", "dilate_kernel", "feather"):
        size = getattr(how, name)
        if size and size % 2 == 0:
            raise InvalidOption(f"refine: `{name}` is {size}, but a kernel needs a middle pixel: give an odd size")
    return how


def check_work(how: RefineParameters, megapixels: float) -> None:
    """Raises `InvalidOption` where large kernels on many pixels would hold a core for too long."""
    passes = 2 * (how.close + how.open)
    footprints = passes * how.kernel**2 + how.dilate * (how.dilate_kernel or how.kernel) ** 2
    work = (footprints + GAUSSIAN_WORK * (how.blur + how.feather)) * megapixels
    if work > MAX_WORK:
        raise InvalidOption(
            f"refine: kernels and counts add up to {work:,.0f} footprint pixels × megapixels, above {MAX_WORK:,}: "
            "use smaller ones, or scale 'long_side'"
        )


def _preset(name: str, presets: Mapping[str, RefineParameters]) -> RefineParameters:
    try:
        return presets[name]
    except KeyError:
        known = ", ".join(presets)
        raise InvalidOption(f"refine: unknown preset {name!r}{nearest(name, presets)}; known are {known}") from None
