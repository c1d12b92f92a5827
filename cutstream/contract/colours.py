from __future__ import annotations

import re

from PIL import ImageColor

from cutstream.arrays.ops import Colour
from cutstream.errors import InvalidOption

# Pillow also reads rgb(), hsl() and #rrggbbaa, which the contract does not offer.
FORMS = re.compile(r"#[0-9a-f]{3}|#[0-9a-f]{6}|[a-z]+", re.IGNORECASE)


def parse_colour(option: str, text: str) -> Colour:
    """`#rgb`, `#rrggbb` or a CSS colour name, in either case, as RGB 0..255. Raises `InvalidOption`."""
    try:
        if FORMS.fullmatch(text):
            red, green, blue = ImageColor.getrgb(text)[:3]
            return red, green, blue
    except ValueError:
        pass  # a word, but no colour: said below
    raise InvalidOption(f"{option}: {text!r} is no colour; use #rgb, #rrggbb or a CSS name such as 'white'")
