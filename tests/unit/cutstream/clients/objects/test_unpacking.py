"""Bodies that a server compressed although it was asked not to."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cutstream.clients.objects.unpacking import Undecodable, unpacked

PIECES = st.lists(st.integers(1, 3000), max_size=20)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


@example([b""], [20], b"\0" * 9)  # the padding comes alone
@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=4), PIECES, st.sampled_from([b"", b"\0" * 9]))
def test_gzip_with_several_members_however_it_arrives(members: list[bytes], sizes: list[int], padding: bytes) -> None:
    data = b"".join(map(gzip.compress, members)) + padding
    assert b"".join(unpacked(cut(data, sizes), "GZip ")) == b"".join(members)


@given(st.binary(max_size=9000), PIECES)
def test_deflate_and_none(data: bytes, sizes: list[int]) -> None:
    assert b"".join(unpacked(cut(zlib.compress(data), sizes), "deflate")) == data
    assert b"".join(unpacked(cut(data, sizes), "")) == data


@given(st.binary(min_size=1, max_size=9000), st.data(), st.sampled_from(["gzip", "deflate"]))
def test_a_body_that_is_cut_is_never_taken_for_whole(body: bytes, data: st.DataObject, encoding: str) -> None:
    whole = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Undecodable):
        b"".join(unpacked([whole[:end]], encoding))


def test_no_piece_is_larger_than_promised() -> None:
    sizes = [len(piece) for piece in unpacked([gzip.compress(bytes(20_000_000))], "gzip")]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 256 * 1024


@pytest.mark.parametrize("encoding", ["aws-chunked", "none", "UTF-8", "identity, aws-chunked"])
def test_names_that_uploads_leave_behind_are_ignored(encoding: str) -> None:
    assert b"".join(unpacked([b"as it", b" is"], encoding)) == b"as it is"


def test_such_a_name_may_stand_before_a_compression() -> None:
    assert b"".join(unpacked([gzip.compress(b"photo")], "aws-chunked, gzip")) == b"photo"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 5000, "compress"])
def test_another_encoding_is_named(encoding: str) -> None:
    with pytest.raises(Undecodable, match=encoding[:30]) as caught:
        list(unpacked([b"x"], encoding))
    assert len(str(caught.value)) < 200
