"""Whatever a record holds, its request is answered in records that Kafka takes, and no worker ends."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.delivery.doubts import Doubts
from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Answered, TrackedRecord
from consumer.delivery.results import RecordBuilder
from consumer.delivery.retries import RetryPolicy
from consumer.handler import RequestHandler
from consumer.intake.admission import admit
from consumer.jobs import Job, Progress
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import ManualClock
from cutstream.contract.dead_letters import read_dead_letter
from cutstream.contract.envelope import STRUCTURED
from cutstream.contract.messages import Request, decode_result
from cutstream.contract.redelivery import PREFIX
from cutstream.contract.sizes import size_of
from cutstream.errors import UnreadableImage
from cutstream.settings import KafkaSettings, LimitSettings, ModelSettings

CLOCK = ManualClock()
NAMES = [
    *("content-type", "traceparent", "tracestate", "ce_specversion", "ce_id", "ce_source", "ce_type", "\udcff"),
    *(PREFIX + name for name in ("topic", "partition", "offset", "timestamp", "attempts", "not-before", "replay")),
    *("__cutstream.errors.offset", "__cutstream.errors.cut-from-bytes", "__cutstream.letter.closing"),
]
VALUES = [b"", b"1", b"-1", b"1" * 5000, STRUCTURED.encode(), b"1.0", b"requests", b"x" * 700_000]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
requests = st.dictionaries(st.sampled_from(Request.__struct_fields__) | st.text(), json_values, max_size=6).map(
    lambda fields: json.dumps({"image": "s3://a/b", **fields}).encode(errors="surrogatepass")
)
headers = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.text(), st.sampled_from(VALUES) | st.binary(max_size=40)), max_size=12
)


class FailingRunner:
    def carry(self, job: Job, progress: Progress) -> None:
        raise UnreadableImage("truncated")


HANDLER = RequestHandler(
    partial(admit, models=ModelSettings()),
    FailingRunner(),
    RecordBuilder(KafkaSettings(), CLOCK),
    RetryPolicy(LimitSettings(), CLOCK),
    CLOCK,
    Doubts(200),
)


@pytest.mark.logs_errors
@given(st.binary() | requests, headers, st.none() | st.binary(max_size=9), st.integers(-1, 2**63 - 1))
def test_every_record_is_answered(value, headers, key, timestamp_ms) -> None:
    record = Record(Partition("requests", 0), 7, timestamp_ms, key, value, headers)
    outcome = HANDLER(TrackedRecord(TrackedOffset(record.partition, 7, 0), record))
    assert isinstance(outcome, Answered)
    result, letter = outcome.records
    assert decode_result(result.value).error.code != "unexpected"
    assert read_dead_letter(letter.value, letter.headers).code == outcome.code
    for written in outcome.records:
        assert size_of(written.key, written.value, written.headers) < 1024 * 1024
