"""Results and their outputs, as bytes and as files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cutstream.client import AsyncResult, OutputNotSaved, OutputUnavailable, PhotoFailed, Result
from cutstream.contract.messages import Request
from cutstream.errors import InvalidOption
from tests.support.fake_transport import CONTENT, failed, ok

ONE = Request(image="s3://b/a.jpg", id="a-1")
TWO = Request(image="s3://b/a.jpg", id="a-2", outputs=("cutout", "mask"))


def result(request: Request, content: bytes = CONTENT, media_type: str = "image/png") -> Result:
    return Result(request.id, "a.jpg", ok(request, media_type), lambda output: content)


def test_the_only_output_needs_no_name(tmp_path: Path) -> None:
    assert result(ONE).bytes == result(ONE).read() == result(ONE).read("cutout") == CONTENT
    assert result(ONE).save(tmp_path / "a.png") == tmp_path / "a.png"
    assert (tmp_path / "a.png").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_one_of_several_outputs_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="a-2 has several outputs: name one of cutout, mask"):
        _ = result(TWO).bytes
    with pytest.raises(InvalidOption, match="a-2 has no output 'overlay'; it has cutout, mask"):
        result(TWO).read("overlay")
    assert result(TWO).save(tmp_path / "mask.png", "mask").exists()


def test_all_outputs_go_into_a_folder(tmp_path: Path) -> None:
    saved = result(TWO, media_type="image/webp").save_all(tmp_path / "new" / "folder")
    assert [path.name for path in saved] == ["a-2-cutout.webp", "a-2-mask.webp"]
    assert all(path.read_bytes() == CONTENT for path in saved)


def test_a_name_for_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"is image/jpeg: call the file a\.jpg, or ask for another `format`"):
        result(ONE, media_type="image/jpeg").save(tmp_path / "a.png")
    result(ONE, media_type="image/jpeg").save(tmp_path / "a.JPEG")
    result(ONE, media_type="image/jpeg").save(tmp_path / "a.out")


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for save, words in (
        (
            lambda: result(ONE).save("nodir/x.png"),
            "'nodir/x.png' cannot be written: there is no folder 'nodir'. Make it",
        ),
        (lambda: result(ONE).save("folder.png"), "'folder.png' cannot be written: it is a folder. Name another place"),
        (lambda: result(ONE).save("file/x.png"), "'file/x.png' cannot be written: Not a directory. Name another place"),
        (lambda: result(TWO).save_all("file"), "'file' cannot be written: File exists"),
    ):
        with pytest.raises(OutputNotSaved, match=words) as caught:
            save()
        assert isinstance(caught.value, OSError)
        assert ".part" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"x"])
def test_bytes_that_are_not_those_of_the_result_are_never_returned(content: bytes, tmp_path: Path) -> None:
    damaged = result(ONE, content)
    for read in (damaged.read, lambda: damaged.save(tmp_path / "a.png"), lambda: damaged.save_all(tmp_path)):
        with pytest.raises(OutputUnavailable, match="a-1: the cutout has"):
            read()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_photo_has_no_outputs(tmp_path: Path) -> None:
    none = Result("a-1", "a.jpg", failed(ONE), lambda output: CONTENT)
    assert (none.ok, none.outputs) == (False, ())
    for read in (none.read, none.raise_for_status, lambda: none.save("a.png"), lambda: none.save_all(tmp_path / "x")):
        with pytest.raises(PhotoFailed, match="a-1: unknown_foreground"):
            read()
    assert not (tmp_path / "x").exists()


def test_an_async_result_does_the_same(tmp_path: Path) -> None:
    async def use() -> None:
        two = AsyncResult("a-2", "a.jpg", ok(TWO), lambda output: CONTENT)
        assert await two.read("mask") == CONTENT
        assert (await two.save(tmp_path / "a.png", "mask")).read_bytes() == CONTENT
        assert len(await two.save_all(tmp_path)) == 2
        with pytest.raises(InvalidOption):
            await two.read()

    asyncio.run(use())
