"""Fit a picture behind the subject."""

from __future__ import annotations

from cutstream.arrays.ops import ArrayOps, Colour
from cutstream.compositing.specs import Fit
from cutstream.images import Image, Pixels


def fit_picture(picture: Image, width: int, height: int, fit: Fit, colour: Colour, ops: ArrayOps) -> Pixels:
    """Return a picture (u8 HWC RGB, with or without alpha u8 HW, in the memory of `ops`) as u8 height × width × 3.

    `fit` follows CSS's `background-size` and `background-repeat`. `cover` scales the picture until it fills both sides
    and shows its middle; `contain` scales it until it fills one side and shows `colour` around it; `tile` repeats it at
    its own size from the upper left corner. `colour` also lies behind transparent parts. Callers must not modify the
    result: it may be the picture itself.
    """
    pixels = picture.pixels
    if picture.alpha is not None:
        # Before scaling: averages of opaque colours need no weights.
        pixels = ops.blend(pixels, picture.alpha, colour)
    match fit:
        case "cover":
            return _cover(pixels, width, height, ops)
        case "contain":
            return _contain(pixels, width, height, colour, ops)
        case "tile":
            return _tile(pixels, width, height, ops)


def _cover(pixels: Pixels, width: int, height: int, ops: ArrayOps) -> Pixels:
    # Cut to whole pixels before scaling: scaled first, a picture one pixel high would grow to gigabytes.
    rows, columns = pixels.shape[:2]
    kept_columns = min(columns, max(1, round(rows * width / height)))
    kept_rows = min(rows, max(1, round(columns * height / width)))
    left, top = (columns - kept_columns) // 2, (rows - kept_rows) // 2
    cut = pixels[top : top + kept_rows, left : left + kept_columns]
    return ops.xp.ascontiguousarray(ops.resize_area(cut, width, height))  # type: ignore[no-any-return]


def _contain(pixels: Pixels, width: int, height: int, colour: Colour, ops: ArrayOps) -> Pixels:
    rows, columns = pixels.shape[:2]
    scaled_width = min(width, max(1, round(columns * height / rows)))
    scaled_height = min(height, max(1, round(rows * width / columns)))
    scaled = ops.resize_area(pixels, scaled_width, scaled_height)
    if scaled.shape[:2] == (height, width):
        return scaled
    left, top = (width - scaled_width) // 2, (height - scaled_height) // 2
    canvas: Pixels = ops.xp.empty((height, width, 3), ops.xp.uint8)
    for channel, value in enumerate(colour):  # three plain fills: broadcasting the triple takes ten times as long
        canvas[..., channel] = value
    canvas[top : top + scaled_height, left : left + scaled_width] = scaled
    return canvas


def _tile(pixels: Pixels, width: int, height: int, ops: ArrayOps) -> Pixels:
    """Double each strip of copies until it is long enough, and never write beyond that."""
    rows, columns = pixels.shape[:2]
    canvas: Pixels = ops.xp.empty((height, width, 3), ops.xp.uint8)
    canvas[:rows, :columns] = pixels[:height, :width]
    while columns < width:
        canvas[:rows, columns : 2 * columns] = canvas[:rows, : min(columns, width - columns)]
        columns *= 2
    while rows < height:
        canvas[rows : 2 * rows] = canvas[: min(rows, height - rows)]
        rows *= 2
    return canvas
