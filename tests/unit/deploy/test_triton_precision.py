from __future__ import annotations

from pathlib import Path

import ml_dtypes
import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("openvino", reason="openvino is not installed (extra `local`)")

import openvino

from cutstream.settings import GlueSettings, ModelSettings
from deploy.triton.backends import precision
from deploy.triton.backends.precision import choose, compile_network, diffuse
from export.formats.casts import Half, convert_to_half
from export.formats.simplify import simplify
from export.glue.configure import configure_glue
from export.glue.join import join
from export.weights.catalogue import find_model
from tests.support.models import picture_with_blob, small_network

filters = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=4, max_dims=4, max_side=5), elements=st.floats(-4, 4, width=32)
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    onnx.save(small_network(), folder / "net.onnx")
    onnx.save(join(find_model("u2netp", ModelSettings()), folder / "net.onnx"), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.fixture
def has_bf16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@given(filters)
def test_diffused_weights_are_bf16_and_near(weights: np.ndarray) -> None:
    rounded = diffuse(weights)
    assert np.array_equal(rounded, rounded.astype(ml_dtypes.bfloat16).astype(np.float32))
    spacing = np.abs(weights).max(initial=1e-3) * 2**-7
    assert np.abs(rounded - weights).max() <= spacing


@given(filters)
def test_a_filters_sum_survives_its_rounding(weights: np.ndarray) -> None:
    axes = (1, 2, 3)
    error = np.abs(diffuse(weights).astype(float).sum(axes) - weights.astype(float).sum(axes))
    last = np.abs(weights[:, -1, -1, -1]) + np.abs(weights).max(initial=0) * 2**-7
    assert (error <= last * 2**-8 + 1e-5).all()


def test_the_verdict_is_kept_while_the_question_stays(network: Path, tmp_path: Path, monkeypatch) -> None:
    report = tmp_path / "precision" / "u2netp.json"
    verdict = choose(network, "fp32", report)
    assert (verdict.precision, verdict.question[0]) == ("fp32", "fp32")
    assert msgspec.json.decode(report.read_bytes(), type=precision.Verdict) == verdict
    monkeypatch.setattr(precision, "_decide", lambda file, setting: ("bf16", f"set to {setting}"))
    assert choose(network, "fp32", report) == verdict
    assert choose(network, "bf16", report).reason == "set to bf16"
    assert [path.name for path in report.parent.iterdir()] == ["u2netp.json"]


@pytest.mark.parametrize(
    "stored",
    [
        {"precision": "f32", "because": "f32 says so"},  # the names of an earlier release
        {"precision": "f32", "reason": "a name that no longer exists"},
        {"precision": "fp32"},
    ],
)
def test_a_verdict_in_the_words_of_an_earlier_release_is_decided_again(
    network: Path, tmp_path: Path, monkeypatch, stored: dict[str, str]
) -> None:
    report = tmp_path / "u2netp.json"
    monkeypatch.setattr(precision, "_decide", lambda file, setting: ("fp32", "decided"))
    question = choose(network, "auto", report).question
    report.write_bytes(msgspec.json.encode({"question": question, **stored}))
    monkeypatch.setattr(precision, "_decide", lambda file, setting: ("bf16", "decided again"))
    assert choose(network, "auto", report).reason == "decided again"
    assert msgspec.json.decode(report.read_bytes(), type=precision.Verdict).precision == "bf16"


def test_a_step_between_networks_stays_exact(tmp_path: Path) -> None:
    onnx.save(configure_glue("trimap", 64, 64, GlueSettings()), tmp_path / "model.onnx")
    verdict = choose(tmp_path / "model.onnx", "auto", tmp_path / "one.json")
    assert (verdict.precision, verdict.reason[:28]) == ("fp32", "it is a step between network")


def test_auto_takes_bf16_only_where_the_mattes_agree(
    network: Path, tmp_path: Path, monkeypatch, has_bf16: bool
) -> None:
    if not has_bf16:
        assert choose(network, "auto", tmp_path / "one.json").reason == "this CPU has no bf16"
        pytest.skip("this CPU has no bf16")
    assert choose(network, "auto", tmp_path / "one.json").precision == "bf16"
    monkeypatch.setattr(precision, "MIN_AGREEMENT", 1.01)
    refused = choose(network, "auto", tmp_path / "two.json")
    assert refused.precision == "fp32"
    assert "at least 1.01 is required" in refused.reason


def test_both_precisions_find_the_blob(network: Path) -> None:
    picture = picture_with_blob((150, 150), 60)[None]
    exact, fast = (compile_network(network, name, threads=1)([picture])[0] for name in ("fp32", "bf16"))
    assert np.abs(exact.astype(int) - fast).mean() < 2


@pytest.mark.parametrize("half", ["fp16", "bf16"])
@pytest.mark.parametrize("arithmetic", ["fp32", "bf16"])
def test_a_graph_exported_in_half_precision_runs(network: Path, tmp_path: Path, half: Half, arithmetic: str) -> None:
    onnx.save(convert_to_half(simplify(onnx.load(network)), half), tmp_path / "model.onnx")
    picture = picture_with_blob((150, 150), 60)[None]
    exact = compile_network(network, "fp32", threads=1)([picture])[0].astype(int)
    assert np.abs(exact - compile_network(tmp_path / "model.onnx", arithmetic, threads=1)([picture])[0]).mean() < 2
