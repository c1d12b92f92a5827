"""JSON Schemas of the messages, for other languages, and the example messages of the documents."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone
from typing import Any

import msgspec

from cutstream.contract.messages import (
    BoundingBox,
    Choice,
    ErrorDetail,
    Request,
    Result,
    ServedModel,
    SourceRecord,
    StoredObject,
    WarningDetail,
)
from cutstream.contract.options import RefineParameters
from cutstream.contract.reading.spellings import state_spellings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_RECORD = SourceRecord(topic="cutout.requests", partition=3, offset=1045, timestamp_ms=1_899_979_185_000)
_UNREADABLE_RECORD = SourceRecord(topic="cutout.requests", partition=3, offset=1046, timestamp_ms=1_899_979_186_000)
_CUTOUT_SHA256 = "1f0a2b3c4d5e6f708192a3b4c5d6e7f80912233445566778899aabbccddeeff0"
_COMPOSITE_SHA256 = "9c1d7e52b8f40a6339d2c4e1f7a85b0617e3d9c2b4a6f8015d2e7c9b3a4f6081"

REQUESTS: dict[str, Request] = {
    "minimal": Request(image="s3://photos/chair.jpg"),
    "full": Request(
        id="order-4711-front",
        image="https://shop.example.org/4711/front.jpg",
        profile="auto",
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
        source=_RECORD,
        image="https://shop.example.org/4711/front.jpg",
        objects=(
            StoredObject(
                output="cutout",
                uri=f"s3://cutouts/order-4711-front/cutout-{_CUTOUT_SHA256[:12]}.webp",
                bytes=48_211,
                sha256=_CUTOUT_SHA256,
                width=812,
                height=1164,
                media_type="image/webp",
            ),
            StoredObject(
                output="composite",
                uri=f"s3://cutouts/order-4711-front/composite-{_COMPOSITE_SHA256[:12]}.webp",
                bytes=39_874,
                sha256=_COMPOSITE_SHA256,
                width=812,
                height=1164,
                media_type="image/webp",
            ),
        ),
        bbox=BoundingBox(foreground_left=301, foreground_top=88, foreground_width=738, foreground_height=1058),
        coverage=0.31,
        uncertainty=0.04,
        profile="precise",
        choice=Choice(reason="time", detail="precise needs 1.02 s"),
        model=ServedModel(
            name="cutout_precise",
            version="1",
            digest="1233603cc75f0d4e8a96b1c7f25e03d8417a6c92be05f3d7418c2a9e6b7f0d13",
            networks=("isnet",),
        ),
        timings_ms={
            "fetch": 12.4,
            "decode": 7.7,
            "segment": 861.2,
            "refine": 9.1,
            "compose": 4.9,
            "encode": 31.6,
            "store": 18.3,
        },
        warnings=(
            WarningDetail(
                code="missing_profile",
                message="the CMYK picture has no colour profile: its colours are approximate",
            ),
        ),
        labels={"tenant": "shop"},
    ),
    "failed": Result(
        id="cutout.requests-3-1046",
        status="failed",
        source=_UNREADABLE_RECORD,
        image="https://shop.example.org/4711/back.jpg?…",
        error=ErrorDetail(
            code="invalid_request",
            message="unknown field `qualty`; did you mean `quality`?",
            stage="request",
            retryable=False,
        ),
    ),
}


def json_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a message. It accepts exactly what the decoder accepts."""
    return {"$schema": DIALECT, **state_spellings(described_schema(kind))}


def described_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a message without the further spellings of its values, as documents describe it."""
    schema: dict[str, Any] = clean_descriptions(msgspec.json.schema(kind))
    return schema


def clean_descriptions(node: Any) -> Any:
    """Remove the indentation from descriptions that are docstrings."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(v) if key == "description" and isinstance(v, str) else clean_descriptions(v)
            for key, v in node.items()
        }
    return [clean_descriptions(item) for item in node] if isinstance(node, list) else node
