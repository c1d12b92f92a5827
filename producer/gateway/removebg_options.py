"""remove.bg's parameters, and the request that each becomes. Pure: no network, no files.

Unlike everywhere else in the product, unknown parameters are ignored and empty ones count as absent: that is what
remove.bg does, and its clients send both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cutstream.contract.colours import parse_colour
from cutstream.contract.geometry import parse_margin, parse_position, parse_region, parse_scale
from cutstream.errors import InvalidOption, RegionOutOfBounds
from cutstream.redaction import redact
from producer.gateway.errors import CallRefused, bad_request

T = TypeVar("T")

SOURCES = ("image_file", "image_file_b64", "image_url")
BACKGROUNDS = ("bg_color", "bg_image_url", "bg_image_file")
TYPES = ("auto", "person", "product", "car", "animal", "graphic", "graphics", "transportation", "other")

_SIZES = {
    **dict.fromkeys(("preview", "small", "regular"), "preview"),
    "medium": "medium",
    "hd": "hd",
    **dict.fromkeys(("full", "4k", "50mp"), "full"),
    "auto": "auto",
}
_FORMATS = {"auto": "auto", "png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp", "zip": "zip"}
_SHADOWS = {"none": None, "auto": "contact", "car": "contact", "drop": "drop", "3d": "cast"}
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_HEX = re.compile(r"[0-9a-f]{3,8}", re.IGNORECASE)
_MAX_SHOWN = 200
_WHOLE = ("0%", "0%", "100%", "100%")


@dataclass(frozen=True)
class Options:
    """A call's parameters as far as they do not depend on its files.

    `fields` are those of the request but for its image and an uploaded background.
    """

    fields: Mapping[str, Any]
    type: str
    type_level: str


def parse_options(values: Mapping[str, Any], has_background_file: bool = False) -> Options:
    """Parse the parameters of a call. Raises CallRefused with remove.bg's code."""
    given = {name: _text(name, value) for name, value in values.items() if value is not None and value != ""}
    type = _choice(given, "type", "auto", {name: name for name in TYPES})
    level = _choice(given, "type_level", "1", {name: name for name in ("none", "1", "2", "latest")})
    _flag(given, "semitransparency", True)  # the alpha is always as soft as the matte
    fields: dict[str, Any] = {
        "size": _choice(given, "size", "preview", _SIZES),
        "format": _choice(given, "format", "auto", _FORMATS),
        "crop": _flag(given, "crop", False),
        **_placement(given),
        **_outputs(given, has_background_file),
    }
    region = given.get("roi")
    if region is not None and not _is_whole(region):
        fields["roi"] = region
        _region(region)
    margin = _parsed(given, "crop_margin", parse_margin)
    if fields["crop"] and margin is not None:
        fields["crop_margin"] = given["crop_margin"]
    return Options(fields, type, level)


def check_sources(values: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Return the name of the one source that a call has. Raises CallRefused for none, and for several."""
    given = [name for name in SOURCES if files.get(name) or values.get(name) not in (None, "")]
    if not given:
        raise bad_request(
            "missing_source",
            "No image given",
            "Please provide the source image in the image_url, image_file or image_file_b64 parameter.",
        )
    if len(given) > 1:
        raise bad_request(
            "multiple_sources",
            "Multiple image sources given: Please provide either the image_url, image_file or image_file_b64 "
            "parameter.",
        )
    return given[0]


def check_url(name: str, url: object) -> str:
    """Return an address that a client names: http(s) alone, whatever else workers may read. Raises CallRefused."""
    text = url.strip() if isinstance(url, str) else ""
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in ("http", "https") or not rest or len(text) > 4096:
        raise bad_request(f"invalid_{name}", f"Invalid {name}: Please provide a valid URL.", _why_no_url(text))
    return text


def _why_no_url(text: str) -> str:
    if not text:
        return "there is none: give an address that begins with https:// or http://"
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return f"{redact(shown)!r} is refused: give an address that begins with https:// or http://"


def _outputs(given: Mapping[str, str], has_file: bool) -> dict[str, Any]:
    """Choose the output: a mask, a cutout, or a composite where there is a background, a shadow or no transparency."""
    channels = _choice(given, "channels", "rgba", {"rgba": "rgba", "alpha": "alpha"})
    format = _choice(given, "format", "auto", _FORMATS)
    background = _background(given, has_file)
    shadow = _shadow(given)
    if channels == "alpha":
        if format == "zip":
            raise bad_request("invalid_format", "Invalid format parameter given", "zip is for channels=rgba")
        return {"outputs": ["cutout"], "channels": "alpha"}
    if background is None and shadow is None and format != "jpeg":
        return {"outputs": ["cutout"], "decontaminate": True}
    if format == "zip":
        raise bad_request(
            "invalid_format", "Invalid format parameter given", "zip is for a cutout without background and shadow"
        )
    if background is None and format != "jpeg":
        background = {"color": "transparent"}  # a shadow on transparency
    scene = {"outputs": ["composite"], "decontaminate": True}
    return {
        **scene,
        **({"background": background} if background else {}),
        **({"shadow": shadow} if shadow is not None else {}),
    }


def _background(given: Mapping[str, str], has_file: bool) -> dict[str, Any] | None:
    """Return the background, without an image that is still to be uploaded; None without any."""
    names = [name for name in BACKGROUNDS if name in given or (name == "bg_image_file" and has_file)]
    if len(names) > 1:
        raise bad_request(
            "multiple_bg_sources",
            "Multiple background sources given: Please provide either the bg_color, the bg_image_url or the "
            "bg_image_file parameter.",
        )
    if "bg_color" in given:
        return _colour(given["bg_color"])
    if "bg_image_url" in given:
        return {"image": check_url("bg_image_url", given["bg_image_url"])}
    return {} if has_file else None


def _colour(text: str) -> dict[str, Any] | None:
    """Parse hexadecimal digits, with or without #, or a name. Fully transparent is no background."""
    plain = text.strip().removeprefix("#")
    if _HEX.fullmatch(plain) and len(plain) in (3, 4, 6, 8):
        digits = plain if len(plain) > 4 else "".join(digit * 2 for digit in plain)
        alpha = digits[6:].lower()
        if alpha == "00":
            return None
        if alpha not in ("", "ff"):
            raise bad_request(
                "invalid_bg_color",
                "Invalid bg_color parameter given",
                "backgrounds that are half transparent are not supported",
            )
        return {"color": f"#{digits[:6]}"}
    if plain.lower() == "transparent":
        return None
    try:
        parse_colour("bg_color", plain)
    except InvalidOption as exc:
        raise bad_request("invalid_bg_color", "Invalid bg_color parameter given", str(exc)) from exc
    return {"color": plain}


def _shadow(given: Mapping[str, str]) -> dict[str, Any] | None:
    default = "auto" if _flag(given, "add_shadow", False) else "none"
    kind = _choice(given, "shadow_type", default, _SHADOWS)
    opacity = given.get("shadow_opacity")
    share = 0.5
    if opacity is not None:
        try:
            share = float(opacity) / 100
        except ValueError:
            share = -1
        if not 0 <= share <= 1:
            raise _invalid("shadow_opacity", "a number from 0 to 100")
    return None if kind is None else {"type": kind, "opacity": share}


def _placement(given: Mapping[str, str]) -> dict[str, Any]:
    scale, position = given.get("scale"), given.get("position")
    if scale is not None and scale.strip().isascii() and scale.strip().replace(".", "", 1).isdigit():
        scale = f"{scale.strip()}%"
    found = _parsed({"scale": scale} if scale is not None else {}, "scale", parse_scale)
    placed = _parsed(given, "position", lambda text: parse_position(text.replace(",", " ")))
    fields: dict[str, Any] = {}
    if found is not None and found != "original":
        fields["scale"] = scale
        fields["position"] = "center"
    if position is not None and placed != "original":
        fields["position"] = position.replace(",", " ")
    elif placed == "original" and fields:
        fields["position"] = "original"
    return fields


def _region(text: str) -> None:
    try:
        parse_region(text)
    except RegionOutOfBounds as exc:
        raise bad_request("roi_exceeds_bounds", "ROI exceeds image bounds", str(exc)) from exc
    except InvalidOption as exc:
        if "is empty" in str(exc):
            raise bad_request(
                "roi_region_empty", "ROI region is empty", "The given roi parameter defines an empty region"
            ) from exc
        raise _invalid("roi", str(exc)) from exc


def _is_whole(region: str) -> bool:
    return tuple(region.split()) == _WHOLE


def _parsed(given: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    if name not in given:
        return None
    try:
        return parse(given[name])
    except InvalidOption as exc:
        raise _invalid(name, str(exc)) from exc


def _choice(given: Mapping[str, str], name: str, default: str, values: Mapping[str, T]) -> T:
    value = given.get(name, default).strip().lower()
    if value not in values:
        raise _invalid(name, f"one of {', '.join(values)}")
    return values[value]


def _flag(given: Mapping[str, str], name: str, default: bool) -> bool:
    value = given.get(name, str(default)).strip().lower()
    if value not in (*_TRUE, *_FALSE):
        raise _invalid(name, "true or false")
    return value in _TRUE


def _text(name: str, value: object) -> str:
    """Return the text of a value: JSON has booleans and numbers, too."""
    if isinstance(value, (str, int, float)):
        return str(value)
    raise _invalid(name, "a text, a number or a boolean")


def _invalid(name: str, detail: str) -> CallRefused:
    return bad_request(f"invalid_{name}", f"Invalid {name} parameter given", detail)
