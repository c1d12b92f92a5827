"""The calls for one photo: those of remove.bg, and those of rembg's server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producer.gateway.openapi.parts import (
    FILE,
    FLAG,
    NUMBER,
    PICTURE_HEADERS,
    RATE_HEADERS,
    TEXT,
    errors,
    field,
    headers,
    object_of,
    operation,
    pictures,
    ref,
)
from producer.gateway.profiles import MODELS
from producer.gateway.removebg_options import TYPES

_REMOVEBG_FIELDS: dict[str, Any] = {
    "image_file_b64": field(TEXT, "The photo in base64, with or without a `data:` prefix."),
    "image_url": field(TEXT, "The photo's http(s) address."),
    "size": field(
        {"enum": ["preview", "small", "regular", "medium", "hd", "full", "4k", "50MP", "auto"]},
        "Largest output: 0.25 megapixels for `preview`, 1.5 for `medium`, 4 for `hd`, the photo's own for the others.",
        "preview",
    ),
    "type": field({"enum": list(TYPES)}, "What the subject is. It may choose a profile.", "auto"),
    "type_level": field({"enum": ["none", "1", "2", "latest"]}, "`none` leaves `X-Type` out.", "1"),
    "format": field(
        {"enum": ["auto", "png", "jpg", "webp", "zip"]}, "`auto`: PNG if something is transparent, else JPEG.", "auto"
    ),
    "roi": field(TEXT, "Region of interest, `x1 y1 x2 y2` in px or %."),
    "crop": field(FLAG, "Crop to the subject.", False),
    "crop_margin": field(TEXT, "Margin around the cropped subject: 1, 2 or 4 values in px or %."),
    "scale": field(TEXT, "`original`, or the subject's size from 10% to 100% of the canvas.", "original"),
    "position": field(TEXT, "`original`, `center`, or one or two percentages.", "original"),
    "channels": field({"enum": ["rgba", "alpha"]}, "The cutout, or its alpha as a grey picture.", "rgba"),
    "add_shadow": field(FLAG, "Short for `shadow_type=auto`.", False),
    "shadow_type": field({"enum": ["none", "auto", "car", "drop", "3D"]}, "Shadow of the subject.", "none"),
    "shadow_opacity": field({"type": "number", "minimum": 0, "maximum": 100}, "Its opacity in %.", 50),
    "semitransparency": field(FLAG, "Accepted, and of no effect: the alpha is as soft as the matte.", True),
    "bg_color": field(TEXT, "Background colour: 3, 4, 6 or 8 hexadecimal digits, or a name."),
    "bg_image_url": field(TEXT, "http(s) address of a background picture."),
}
_MULTIPART_FIELDS: dict[str, Any] = {
    "image_file": field(FILE, "The photo."),
    "bg_image_file": field(FILE, "A background picture."),
}
_IMPROVE_FIELDS: dict[str, Any] = {
    **{name: _REMOVEBG_FIELDS[name] for name in ("image_file_b64", "image_url")},
    "image_filename": field(TEXT, "Ignored."),
    "tag": field(TEXT, "Ignored."),
}
_REMBG_FIELDS: dict[str, Any] = {
    "model": field({"type": "string", "examples": sorted(MODELS)}, "A model of rembg, or a profile.", "u2net"),
    "a": field(FLAG, "Alpha matting.", False),
    "af": field({"type": "integer", "minimum": 0, "maximum": 255}, "Accepted, and of no effect.", 240),
    "ab": field({"type": "integer", "minimum": 0, "maximum": 255}, "Accepted, and of no effect.", 10),
    "ae": field({"type": "integer", "minimum": 0}, "Half the width of the band for matting.", 10),
    "om": field(FLAG, "Only the mask.", False),
    "ppm": field(FLAG, "Post-process the mask.", False),
    "bgc": field(TEXT, "Background colour, `red,green,blue,alpha`."),
}


def removebg_paths() -> dict[str, Any]:
    picture = {
        "description": "The picture, or JSON with it for `Accept: application/json`.",
        "headers": headers({"X-Credits-Charged": NUMBER, "X-Type": TEXT, **PICTURE_HEADERS, **RATE_HEADERS}),
        "content": {**pictures(), "application/json": {"schema": ref("RemoveBgResult")}},
    }
    account = {"description": "The account.", "content": {"application/json": {"schema": ref("Account")}}}
    improved = {
        "description": "The photo is kept.",
        "content": {"application/json": {"schema": object_of({"id": TEXT}, "id")}},
    }
    return {
        "/v1.0/removebg": {
            "post": operation(
                "removebg",
                "Remove the background of a photo",
                {"200": picture, **errors("400", "403", "408", "413", "415", "429", "500", "502", "503", "504")},
                _form({**_REMOVEBG_FIELDS}, _MULTIPART_FIELDS),
            )
        },
        "/v1.0/account": {
            "get": operation("account", "Show an account with endless credits", {"200": account, **errors("403")})
        },
        "/v1.0/improve": {
            "post": operation(
                "improve",
                "Hand in a photo that was cut out badly",
                {"200": improved, **errors("400", "403", "408", "413", "415", "429", "501", "503")},
                _form(_IMPROVE_FIELDS, {"image_file": _MULTIPART_FIELDS["image_file"]}),
            )
        },
    }


def rembg_paths() -> dict[str, Any]:
    picture = {
        "description": "The picture.",
        "headers": headers(PICTURE_HEADERS),
        "content": {"image/png": {"schema": {}}},
    }
    query = [{"name": name, "in": "query", "schema": schema} for name, schema in _REMBG_FIELDS.items()]
    url = {"name": "url", "in": "query", "required": True, "schema": field(TEXT, "The photo's http(s) address.")}
    wrong = {
        status: {"$ref": f"#/components/responses/Rembg{'Invalid' if status == '422' else 'Error'}"}
        for status in ("400", "403", "408", "413", "415", "422", "429", "500", "502", "503", "504")
    }
    body = {
        "required": True,
        "content": {"multipart/form-data": {"schema": object_of({"file": FILE, **_REMBG_FIELDS}, "file")}},
    }
    from_url = operation("rembgFromUrl", "Remove the background of a photo by its address", {"200": picture, **wrong})
    from_file = operation("rembgFromFile", "Remove the background of a photo", {"200": picture, **wrong}, body)
    return {
        "/api/remove": {"get": {**from_url, "parameters": [url, *query]}, "post": {**from_file, "parameters": query}}
    }


def _form(fields: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"schema": object_of(fields)}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": object_of({**files, **fields})},
            "application/x-www-form-urlencoded": plain,
            "application/json": plain,
        },
    }
