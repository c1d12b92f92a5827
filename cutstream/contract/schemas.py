"""The contract for other languages: JSON Schemas made from the structs, and the examples that documents show."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone
from typing import Any

import msgspec

from cutstream.contract.messages import (
    BoundingBox,
    ErrorDetail,
    Request,
    Result,
    ServedModel,
    SourceRecord,
    StoredObject,
)
from cutstream.contract.options import RefineParameters

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SOURCE = SourceRecord(topic="cutout.requests", partition=3, offset=1045, timestamp_ms=1_900_000_000_000)

REQUESTS: dict[str, Request] = {
    "least": Request(image="s3://photos/chair.jpg"),
    "full": Request(
        id="order-4711-front",
        image="https://shop.example.org/4711/front.jpg",
        profile="general",
        outputs=("cutout", "composite"),
        format="webp",
        crop=True,
        crop_margin="5%",
        refine=RefineParameters(close=2, open=1, threshold=127),
        deadline=datetime(2030, 3, 17, 12, 0, tzinfo=timezone.utc),
        labels={"tenant": "shop"},
    ),
}
RESULTS: dict[str, Result] = {
    "ok": Result(
        id="order-4711-front",
        status="ok",
        source=_SOURCE,
        objects=(
            StoredObject(
                output="cutout",
                uri="s3://cutouts/order-4711-front/cutout-1f0a2b3c4d5e.webp",
                bytes=48_211,
                sha256="1f0a2b3c4d5e" + "0" * 52,
                width=812,
                height=1164,
                media_type="image/webp",
            ),
        ),
        bbox=BoundingBox(foreground_left=301, foreground_top=88, foreground_width=738, foreground_height=1058),
        coverage=0.31,
        uncertainty=0.04,
        profile="fast",
        model=ServedModel(name="cutout_fast", version="1", digest="1233603cc75f" + "0" * 52),
        timings_ms={
            "fetch": 12.4,
            "decode": 7.7,
            "segment": 161.2,
            "refine": 9.1,
            "compose": 2.7,
            "encode": 16.7,
            "store": 11.0,
        },
        labels={"tenant": "shop"},
    ),
    "failed": Result(
        id="cutout.requests-3-1045",
        status="failed",
        source=_SOURCE,
        error=ErrorDetail(
            code="invalid_request",
            message="unknown field `qualty`; did you mean `quality`?",
            stage="request",
            retryable=False,
        ),
    ),
}


def json_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Accepts what the decoder does, save for `9.0`, which it refuses, and offsets like `+0100`, which it reads."""
    return {"$schema": DIALECT, **tidy(msgspec.json.schema(kind))}


def tidy(node: Any) -> Any:
    """Docstrings without their indentation."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(v) if key == "description" and isinstance(v, str) else tidy(v)
            for key, v in node.items()
        }
    return [tidy(item) for item in node] if isinstance(node, list) else node
