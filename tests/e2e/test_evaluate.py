"""`cutstream evaluate` and `cutstream compare` send real requests to a running stack and score the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cutstream.settings import as_environment
from tests.support.evaluation import evaluation_folder
from tests.support.workers import Results, workers

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.e2e]

DISCS = {"near_1": ((240, 200), 90), "near_2": ((200, 260), 110), "far_1": ((220, 220), 45)}
SIDE = 440


def evaluate(settings, *arguments, command: str = "evaluate") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commands", command, *map(str, arguments)],
        env={**os.environ, **as_environment(settings), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_served_profile_is_measured_at_the_photos_size(settings, folder, tmp_path) -> None:
    evaluation_folder(folder / "set", DISCS, SIDE)
    turned = folder / "set" / "images" / "near_2.jpg"
    with Image.open(turned) as photo:
        exif = Image.Exif()
        exif[0x0112] = 6  # stored turned left, to be shown turned right by a quarter
        photo.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif, quality=95)
    report, pictures = tmp_path / "report.json", tmp_path / "pictures"
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        done = evaluate(settings, folder / "set", "--profile", "general", "--json", report, "--out", pictures)
        answered = results.wait_for(3, 30)
    assert done.returncode == 0, done.stderr
    written = json.loads(report.read_text())
    assert written["overall"]["count"] == 3
    assert all(scores["iou"] > 0.9 and scores["time_ms"] > 0 for scores in written["photos"].values()), written[
        "photos"
    ]
    assert (written["profile"], written["model"]["digest"]) == ("general", answered[0].model.digest)
    assert {(result.status, *(obj.output for obj in result.objects)) for result in answered} == {("ok", "mask")}
    assert {(obj.width, obj.height) for result in answered for obj in result.objects} == {(SIDE, SIDE)}
    with Image.open(pictures / "scatter.png") as chart:
        assert np.asarray(chart).std() > 0
    assert len(list((pictures / "worst").iterdir())) == 3
    assert "near" in done.stdout


def test_a_photo_that_the_stack_refuses_ends_the_evaluation_without_a_report(settings, folder, tmp_path) -> None:
    outside = evaluation_folder(tmp_path / "outside the roots", {"a_1": ((60, 60), 30)}, 128)
    report = tmp_path / "report.json"
    with workers(settings, tmp_path):
        done = evaluate(settings, outside, "--json", report)
    assert done.returncode == 1
    assert "not_cut_out" in done.stderr
    assert "a_1.jpg: invalid_image_url" in done.stderr
    assert "Traceback" not in done.stderr
    assert not report.exists()


def test_profiles_are_compared_over_rounds_of_a_coco_data_set(settings, folder, tmp_path) -> None:
    evaluation_folder(folder / "set", DISCS, SIDE)
    names = sorted(path.name for path in (folder / "set" / "images").iterdir())
    instances = {
        "images": [{"id": n, "file_name": name, "width": SIDE, "height": SIDE} for n, name in enumerate(names)],
        "annotations": [{"image_id": n, "segmentation": [octagon(name)]} for n, name in enumerate(names)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    report, pictures = tmp_path / "comparison.json", tmp_path / "pictures"
    options = ["--profiles", "general", "--sample", 2, "--rounds", 3, "--json", report, "--out", pictures]
    with workers(settings, tmp_path):
        photos = folder / "set" / "images"
        done = evaluate(settings, photos, "--coco", tmp_path / "instances.json", *options, command="compare")
    assert done.returncode == 0, done.stderr
    written = json.loads(report.read_text())
    assert [len(set(chosen)) for chosen in written["draws"]] == [2, 2, 2]
    (general,) = written["profiles"]
    assert general["figures"]["iou"]["mean"] > 0.85
    assert general["figures"]["time_ms"]["mean"] > 0
    assert general["model"]["networks"] == ["u2netp"]
    with Image.open(pictures / "scatter.png") as chart:
        assert np.asarray(chart).std() > 0
    assert "general" in done.stdout


def octagon(name: str) -> list[float]:
    """Return the corners of an octagon with the area of the disc."""
    (x, y), radius = DISCS[name.removesuffix(".jpg")]
    angles = (np.arange(8) + 0.5) * np.pi / 4
    corners = radius * 1.054 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + (x, y)
    return [float(side) for corner in corners for side in corner]
