"""Measure `cutstream cut` beside rembg's command for folders: `python -m benchmarks.peers --rembg /path/to/rembg`.

Both cut out the same photos of 1500×1000 on the same cores, in turn, as processes of their own: cutstream with a
running stack and its default profile, rembg with `p -m u2netp`, its fastest network. rembg belongs into an environment
of its own (`pip install 'rembg[cpu,cli]'`); it looks for u2netp.onnx in the folder that U2NET_HOME names, and downloads
it if it is not there.

rembg's rate counts from its first output, after all that it does once; that of `cutstream cut` from its first photo
sent to its last one saved.

With `--quality FOLDER`, of images/ and masks/ as for `cutstream evaluate`, both also cut these photos out, and the mean
IoU of both is measured in the same way.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

import consumer
from benchmarks.folders import cut_folder, link_photos
from benchmarks.machine import record
from benchmarks.photos import make_photos, photo_settings
from cutstream.settings import ObjectSettings, Settings
from deploy.local.ports import with_free_ports
from deploy.local.running import RunningStack, running_stack
from deploy.local.state import throwaway
from evaluation.scoring.run import evaluate_mattes, plan_evaluation
from export.repository.render import render

SAMPLES = 40  # different photos, which are linked until there are enough
REMBG_PHOTOS = 40  # a turn of rembg takes as long as one of cutstream with ten times as many

console = Console(stderr=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rembg", type=Path, required=True, help="rembg's program")
    arguments.add_argument("--photos", type=int, default=500, help="photos of a turn of cutstream")
    arguments.add_argument("--turns", type=int, default=4)
    arguments.add_argument("--quality", type=Path, help="folder with images/ and masks/")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as name:
        folder = Path(name)
        with throwaway(_settings(folder, chosen.quality)) as settings:
            render(settings)
            with running_stack(settings, consumer.COMMAND) as stack:
                found = measure_rates(stack, folder, chosen.rembg, chosen.photos, chosen.turns)
                if chosen.quality:
                    found |= measure_quality(stack, folder, chosen.rembg, chosen.quality)
    Console().print_json(data=record("peers", peer=_version(chosen.rembg), model="u2netp", **found))


def _settings(folder: Path, quality: Path | None) -> Settings:
    settings = with_free_ports(photo_settings(folder))
    roots = (*settings.objects.file_roots, *([quality.absolute()] if quality else []))
    objects = ObjectSettings(destination=settings.objects.destination, file_roots=roots)
    return settings.model_copy(update={"objects": objects})


def measure_rates(stack: RunningStack, folder: Path, rembg: Path, count: int, turns: int) -> dict[str, object]:
    """Let both cut out photos in turn, in alternating order, after a turn of each that is not counted."""
    made = make_photos(folder / "made", SAMPLES)
    photos, fewer = folder / "photos", folder / "fewer"
    link_photos(made, photos, count)
    link_photos(made, fewer, REMBG_PHOTOS)
    cut_folder(stack, fewer, folder / "warm-up", REMBG_PHOTOS)
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(turns):
        for is_ours in (turn % 2 == 0, turn % 2 == 1):
            out = folder / f"{'ours' if is_ours else 'theirs'}-{turn}"
            if is_ours:
                ours.append(cut_folder(stack, photos, out, count)[0])
            else:
                theirs.append(rate_of(_rembg(rembg, fewer, out)))
        console.print(f"cutstream {ours[-1]:.1f}, rembg {theirs[-1]:.2f} images/s")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "size": "1500x1000",
        "photos": [count, REMBG_PHOTOS],
        "cutstream_images_per_second": [round(rate, 2) for rate in ours],
        "peer_images_per_second": [round(rate, 3) for rate in theirs],
        "times_as_fast": round(median(ratios), 2),
        "times_as_fast_by_turn": [round(ratio, 2) for ratio in ratios],
    }


def rate_of(outputs: Sequence[Path]) -> float:
    """Return the files a second by their times, from the first that was there to the last."""
    times = sorted(path.stat().st_mtime for path in outputs)
    return (len(times) - 1) / (times[-1] - times[0])


def measure_quality(stack: RunningStack, folder: Path, rembg: Path, examples: Path) -> dict[str, object]:
    """Return the mean IoU of both on photos with masks."""
    plan = plan_evaluation(examples, None, None, None, console)
    count = len(plan.examples)
    photos = folder / "examples"
    photos.mkdir()
    for example in plan.examples:
        (photos / example.path.name).symlink_to(example.path.absolute())
    ours, theirs = folder / "masks-ours", folder / "masks-theirs"
    cut_folder(stack, photos, ours, count, "--outputs", "mask")
    _rembg(rembg, photos, theirs, "-om")
    return {
        "quality_photos": count,
        "cutstream_mean_iou": round(evaluate_mattes(plan, ours, console).overall.iou, 4),
        "peer_mean_iou": round(evaluate_mattes(plan, theirs, console).overall.iou, 4),
    }


def _rembg(program: Path, photos: Path, out: Path, *options: str) -> list[Path]:
    """Run rembg over a folder and return its outputs."""
    done = subprocess.run(
        [program, "p", "-m", "u2netp", *options, photos, out],
        env=os.environ | {"MODEL_CHECKSUM_DISABLED": "1"},  # the network may have been converted
        capture_output=True,
        text=True,
    )
    made = list(out.rglob("*.png"))
    if done.returncode or len(made) != len(list(photos.iterdir())):
        raise SystemExit(f"rembg did not cut out every photo: {done.stderr[-2000:]}")
    return made


def _version(program: Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return f"rembg {said.split()[-1]}"


if __name__ == "__main__":
    main()
