from __future__ import annotations

import os

import pytest
from kafka.record import default_records, util
from kafka.record._crc32c import crc

from cutstream.clients.kafka.checksums import crc32c, use_fast_checksums


def test_the_check_value_of_the_polynomial() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100, 1023, 1024, 1025, 1027, 1028, 2048, 5001, 70_000])
def test_it_agrees_with_the_client_s_own(size: int) -> None:
    data = os.urandom(size)
    assert crc32c(data) == crc32c(memoryview(bytearray(data))) == crc(data)


def test_the_client_uses_it_for_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "crc32c_c", None)
    own = util.calc_crc32c
    monkeypatch.setattr(default_records, "calc_crc32c", own)  # another test may have replaced it already
    use_fast_checksums()
    assert default_records.calc_crc32c is not own
    builder = default_records.DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=9000,
    )
    builder.append(0, timestamp=1, key=b"k", value=b"v" * 1500, headers=[])
    batch = bytes(builder.build())
    assert default_records.DefaultRecordBatch(batch).validate_crc()
    assert not default_records.DefaultRecordBatch(batch[:-1] + b"x").validate_crc()
    monkeypatch.setattr(default_records, "calc_crc32c", own)
    assert default_records.DefaultRecordBatch(batch).validate_crc()
