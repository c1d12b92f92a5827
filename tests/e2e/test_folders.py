"""Folders of photos through real workers, by the command that their owner types: a tree in, the same tree out."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

import consumer
from commands.serving import render_models
from cutstream.contract.messages import decode_request
from cutstream.settings import KafkaSettings, ObjectSettings, Settings, StackSettings, TritonSettings, as_environment
from deploy.local.running import running_stack
from tests.support.pictures.nothing import NOTHING
from tests.support.ports import free_ports, free_stack_ports
from tests.support.workers import Results, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(240)]

ROCKET = Path(skimage.__file__).parent / "data" / "rocket.jpg"
COMMAND = [sys.executable, "-m", "commands"]


def environment(settings: Settings) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CUTSTREAM_")}
    return own | as_environment(settings)


def run(settings: Settings, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(settings), input=stdin, capture_output=True, timeout=200
    )


def make_tree(folder: Path, small_photos: Sequence[str], copies: int = 1) -> list[str]:
    """Copy photos to a tree of names as people give them. Return the names of their cutouts."""
    names = []
    for copy in range(copies):
        for number in range(len(small_photos)):
            name = f"{('shoes', 'мои фото/лето', 'a b')[number % 3]}/рис. {copy}-{number} (1)"
            path = folder / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((folder.parent / f"small-{number}.jpg").read_bytes() + bytes([copy]))
            names.append(f"{name}.png")
    return sorted(names)


def cutouts(out: Path) -> list[str]:
    """Return the names of all files of a folder of cutouts, each of which must be whole."""
    found = []
    for path in out.rglob("*"):
        if path.is_file() and ".cutstream" not in path.parts and path.suffix != ".csv":
            with Image.open(path) as image:
                assert image.mode == "RGBA"
                image.load()
            found.append(str(path.relative_to(out)))
    return sorted(found)


def requested(kafka: KafkaSettings) -> Counter[tuple[str | None, int]]:
    with Results(kafka, kafka.requests_topic) as topic:
        topic.read_to_the_end()
        requests = [decode_request(record.value) for record in topic.records]
    return Counter((request.id, request.replay) for request in requests)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_folder_is_finished_by_the_same_command(settings, folder, small_photos, tmp_path, blow) -> None:
    photos, out = folder / "photos", tmp_path / "cutouts"
    expected = make_tree(photos, small_photos, copies=40)  # not done before the signal, however slowly this test looks
    (photos / "broken.jpg").write_bytes(b"no photo")
    (photos / "drawing.svg").write_text("<svg/>")
    arguments = ("cut", str(photos), str(out))
    with workers(settings, tmp_path):
        process = subprocess.Popen([*COMMAND, *arguments], env=environment(settings), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 100
        while len(list(out.rglob("*.png"))) < 8:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(blow)
        _, told = process.communicate(timeout=60)
        assert process.returncode == (130 if blow == signal.SIGINT else -blow)
        if blow == signal.SIGINT:
            assert b"The same command goes on" in told
        assert set(cutouts(out)) < set(expected), "only whole files, and not all of them"
        done = run(settings, *arguments)
    assert done.returncode == 1, "one photo is none"
    assert b"skipped 1: 1 SVG" in done.stderr
    assert cutouts(out) == expected
    rows = list(csv.DictReader((out / "failed.csv").read_text().splitlines()))
    assert [(row["photo"], row["code"]) for row in rows] == [("broken.jpg", "invalid_file_type")]
    counted = requested(settings.kafka)
    assert set(counted.values()) == {1}
    again = {id for id, replay in counted if replay}
    assert all(str(id).startswith("broken") for id in again), "no other photo was done again"
    assert len({id for id, _ in counted}) == len(expected) + 1


def test_submit_follows_its_photos_and_says_where_they_are(settings, folder, small_photos, tmp_path) -> None:
    photos, out = folder / "photos", tmp_path / "out"
    expected = make_tree(photos, small_photos)
    state = settings.model_copy(update={"stack": settings.stack.model_copy(update={"state": tmp_path / "state"})})
    with workers(settings, tmp_path):
        first = run(state, "submit", str(photos), "--wait")
        assert first.returncode == 0, first.stderr.decode()
        ids = [line.split("\t")[0] for line in first.stdout.decode().splitlines()]
        assert len(set(ids)) == len(expected)
        assert run(state, "submit", str(photos), "--wait").stdout == b"", "nothing is new"
        saved = run(state, "submit", "--out", str(out), *map(str, sorted(photos.iterdir())))
        assert saved.returncode == 0, saved.stderr.decode()
    assert cutouts(out) == expected
    name = expected[0].removesuffix(".png") + ".jpg"
    where = run(state, "where", str(photos / name))
    assert where.stdout.decode().startswith("ok\t")
    assert "/out/" in where.stdout.decode(), "the worker's own destination"
    assert f"\t{out / expected[0]}" in run(state, "where", str(photos / name), "--out", str(out)).stdout.decode()
    assert run(state, "where", str(photos / "nobody.jpg")).returncode == 1
    results = run(state, "results", "--id", ids[0], "--since", "1h").stdout.decode().splitlines()
    assert len(results) == 1
    assert ids[0] in results[0]
    assert run(state, "results", "--failed").stdout == b""
    assert run(state, "results", "--from", "end").stdout == b""


@pytest.fixture
def local(triton: Settings, tmp_path: Path, jars: Path) -> Settings:
    """Return settings of a stack that runs nowhere yet, and whose worker may read no folder."""
    (port,) = free_ports(1)
    given = Settings()
    return given.model_copy(
        update={
            "models": triton.models,
            "triton": TritonSettings(),
            "objects": ObjectSettings(destination=str(tmp_path / "destination")),
            "stack": StackSettings(state=tmp_path / "state", jars=jars, **free_stack_ports()),
            "worker": given.worker.model_copy(update={"port": port}),
            "page": given.page.model_copy(update={"port": 0}),
        }
    )


def test_one_photo_goes_through_a_pipe_and_needs_no_stack(local: Settings, tmp_path: Path) -> None:
    done = run(local, "cut", "-", "-", stdin=ROCKET.read_bytes())
    assert done.returncode == 0, done.stderr.decode()
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")
    assert b"starting" in done.stderr
    assert b" s)" not in done.stderr, "the picture is on standard output"
    assert not (tmp_path / "destination").exists()
    assert [path.name for path in (tmp_path / "state").iterdir() if path.name.startswith("cutstream-run")] == []


def write_pictures_of_nothing(folder: Path) -> Path:
    folder.mkdir()
    for number, name in enumerate(
        ("white", "noise 640x480", "gradient studio", "grass.png", "chessboard 50", "slanted 16")
    ):
        Image.fromarray(NOTHING[name]()).save(folder / f"{number}.png")
    return folder


def test_the_running_stack_does_photos_that_its_worker_may_not_read(local: Settings, tmp_path: Path) -> None:
    photos, out = tmp_path / "my photos", tmp_path / "cutouts"
    (photos / "deep").mkdir(parents=True)
    for number in range(3):
        (photos / "deep" / f"№ {number}.jpg").write_bytes(ROCKET.read_bytes() + bytes([number]))
    nothing = write_pictures_of_nothing(tmp_path / "nothing")
    with running_stack(local, consumer.COMMAND, prepare=render_models):
        folder = run(local, "cut", str(photos), str(out), "--contact-sheet")
        empty = run(local, "cut", str(nothing), str(tmp_path / "none"))
        one = run(local, "cut", str(photos / "deep" / "№ 0.jpg"), str(tmp_path / "one.webp"))
        refused = run(local, "cut", str(photos / "deep" / "№ 0.jpg"), str(tmp_path / "one.webp"))
        piped = run(local, "cut", "-", "-", "--background", "red", "--format", "jpeg", stdin=ROCKET.read_bytes())
    assert folder.returncode == 0, folder.stderr.decode()
    assert b"starting" not in folder.stderr + one.stderr
    assert [path.name for path in sorted((out / "deep").iterdir())] == [f"№ {number}.png" for number in range(3)]
    assert (out / "contact-sheet.jpg").exists()
    assert empty.returncode == 1
    with (tmp_path / "none" / "failed.csv").open() as failed:
        assert [row["code"] for row in csv.DictReader(failed)] == ["unknown_foreground"] * 6, empty.stderr.decode()
    assert not list((tmp_path / "none").rglob("*.png"))
    assert one.returncode == 0, one.stderr.decode()
    assert one.stderr.decode().startswith(f"{tmp_path / 'one.webp'} (")
    assert piped.stderr == b""
    with Image.open(tmp_path / "one.webp") as image:
        assert (image.format, image.mode) == ("WEBP", "RGBA")
    assert refused.returncode == 1
    assert b"--overwrite" in refused.stderr
    with Image.open(io.BytesIO(piped.stdout)) as image:
        assert tuple(np.asarray(image)[2, 2]) == pytest.approx((254, 0, 0), abs=12)
    assert not [path for path in (tmp_path / "state" / "inbox").rglob("*") if path.is_file()], "nothing is left"
    assert not (tmp_path / "destination").exists(), "outputs go to the user's folder only"
