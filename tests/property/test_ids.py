"""Any id comes back byte for byte, and has a folder of its own that stays below the destination."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from consumer.delivery.results import RecordBuilder
from consumer.intake.admission import admit
from consumer.jobs import Progress
from cutstream.clients.kafka import Partition, Record
from cutstream.clients.objects.files import path_of
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import ManualClock
from cutstream.contract.cancellations import Cancellation, CancellationIndex, apply, check_request_names, key_of
from cutstream.contract.cancellations import encode as encode_cancellation
from cutstream.contract.dead_letters import Mark, mark_headers, read_dead_letter, read_mark
from cutstream.contract.ids import folder_of
from cutstream.contract.messages import decode_result
from cutstream.errors import SourceFailed
from cutstream.settings import KafkaSettings, LimitSettings, ModelSettings, ObjectSettings

STORE = ObjectStore(ObjectSettings(destination="/data/out"), LimitSettings())
RECORDS = RecordBuilder(KafkaSettings(), ManualClock())
NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._:@=+~-]{1,200}")

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
awkward = st.text("a./\\%~-: \n\0é", min_size=1, max_size=12)
ids = text | awkward | st.text("ab.", min_size=190, max_size=4096)


@given(ids, ids)
@example("order/12", "order-12")
@example("order/12", "order 12")
@example("a", "a\n")
@example("x" * 200, "x" * 201)
@example("order/12", folder_of("order/12"))
@example("..", "...")
@example("é", "e\u0301")
def test_distinct_ids_have_distinct_folders(first: str, second: str) -> None:
    assert (folder_of(first) == folder_of(second)) == (first == second)


@given(ids)
@example("../../etc/passwd")
@example("..")
@example("%2e%2e%2f")
@example("/")
@example("\0")
@example("x" * 4096)
def test_no_folder_escapes_its_destination(id: str) -> None:
    folder = folder_of(id)
    assert NAME.fullmatch(folder)
    uri = STORE.resolve(None, f"{folder}/mask-0.png")
    assert Path(path_of(uri)) == Path("/data/out") / folder / "mask-0.png"


@given(ids, st.booleans())
@example("order/12", False)
@example("\x01" * 4096, True)
@example("\U0001f600" * 4096, True)
def test_every_id_comes_back_byte_for_byte(id: str, structured: bool) -> None:
    event = {"specversion": "1.0", "id": id, "source": "/shop", "type": "t"}
    if structured:
        headers = [("content-type", b"application/cloudevents+json")]
        value = json.dumps({**event, "data": {"image": "s3://a/b.jpg"}}).encode()
    else:
        headers = [(f"ce_{name}", text.encode()) for name, text in event.items()]
        value = b'{"image": "s3://a/b.jpg"}'
    record = Record(Partition("requests", 0), 7, 0, None, value, headers)
    job, error, progress = admit(record, ModelSettings()), SourceFailed("404"), Progress(0.0)
    for known in (job, None):
        result = RECORDS.failure(record, known, progress, error)
        named = dict(result.headers)
        assert decode_result(result.value).id == id
        assert (named["ce_id"], named["ce_subject"]) == (id.encode(), id.encode())
        letter = RECORDS.dead_letter(record, known, progress, error)
        assert read_dead_letter(letter.value, letter.headers).id == id
    mark = Mark("purged", 7, id, 0)
    assert read_mark(mark_headers(mark)) == mark


@given(ids)
def test_a_request_with_any_id_can_be_called_off(id: str) -> None:
    check_request_names([id], {})
    cancelled = ManualClock().wall()
    entries: dict[str, Cancellation] = {}
    written = cancellation_of(id)
    apply(entries, key_of(id, {}).encode(), encode_cancellation(written))
    index = CancellationIndex(entries.values())
    assert index.find(id, {}, 0, cancelled) == written
    assert index.find(f"{id}x", {}, 0, cancelled) is None


def cancellation_of(id: str) -> Cancellation:
    far = datetime(2100, 1, 1, tzinfo=timezone.utc)
    return Cancellation(id=id, cancelled=far, expires=far)
