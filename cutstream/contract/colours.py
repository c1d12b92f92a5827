from __future__ import annotations

import re

from PIL import ImageColor

from cutstream.arrays.ops import Colour
from cutstream.errors import InvalidOption

# Pillow also reads rgb(), hsl() and #rrggbbaa, which the contract does not offer.
FORMS = re.compile(r"#[0-9a-f]{3}|#[0-9a-f]{6}|[a-z]+", re.IGNORECASE)


def parse_colour(option: str, text: str) -> Colour:
    """Parse `#rgb`, `#rrggbb` or a CSS colour name, in either case, into RGB of 0..255.

    Raises `InvalidOption`, whose message names `option`.
    """
    try:
        if FORMS.fullmatch(text):
            red, green, blue = ImageColor.getrgb(text)[:3]
            return red, green, blue
    except ValueError:
        pass  # a word that names no colour: refused below
    raise InvalidOption(f"{option}: {text!r} is not a colour; use #rgb, #rrggbb or a CSS name such as 'white'")
