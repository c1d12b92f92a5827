"""The network, and its conversion to the served file and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from cutstream.errors import ModelMismatch  # noqa: E402
from export.train.cutnet import Cutnet, Served  # noqa: E402
from export.train.cutnet_onnx import SIZE, from_onnx, to_onnx  # noqa: E402
from export.train.imagenet import load_imagenet_weights  # noqa: E402
from tests.support.models import picture_with_blob, small_network  # noqa: E402

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]  # torch warns during the export


@pytest.fixture(scope="module")
def network() -> Cutnet:
    torch.manual_seed(1)
    network = Cutnet().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # a new one changes nothing, which would hide errors
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        network.heads[-1].weight *= 20  # a new network gives a uniform grey
    return network


@pytest.fixture(scope="module")
def file(network: Cutnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cutnet") / "model.onnx"
    path.write_bytes(to_onnx(network))
    return path


def pictures(count: int) -> np.ndarray:
    return np.stack([picture_with_blob((100 + 20 * n, 150), 40 + 10 * n, SIZE) for n in range(count)])


def test_in_training_it_answers_at_four_sizes_and_else_at_the_finest() -> None:
    network = Cutnet()
    pixels = torch.zeros(2, 3, 96, 64)
    assert [tuple(level.shape) for level in network.train()(pixels)] == [
        (2, 1, 96, 64),
        (2, 1, 24, 16),
        (2, 1, 12, 8),
        (2, 1, 6, 4),
    ]
    assert network.eval()(pixels).shape == (2, 1, 96, 64)


def test_it_costs_less_than_a_giga_multiplication_per_photo() -> None:
    network, count = Cutnet().eval(), [0]
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, out: count.append(out.numel() * m.weight[0].numel()))
    network(torch.zeros(1, 3, SIZE, SIZE))
    assert 0.5e9 < sum(count) <= 1e9


def test_the_published_weights_fill_the_whole_encoder() -> None:
    network = Cutnet()
    published = load_imagenet_weights()
    network.encoder.load_imagenet(published)
    assert torch.equal(network.encoder.stem.convolution.weight, published["_conv_stem.weight"])
    assert torch.equal(network.encoder.stages[5][3].project.norm.bias, published["_blocks.14._bn2.bias"])
    ours = sum(tensor.numel() for name, tensor in network.encoder.state_dict().items())
    theirs = [name for name in published if not name.startswith(("_conv_head", "_bn1", "_fc", "_blocks.15"))]
    assert ours == sum(published[name].numel() for name in theirs)


def test_the_served_file_is_small_and_takes_any_batch(network: Cutnet, file: Path) -> None:
    assert file.stat().st_size <= 10e6
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (mattes,) = session.run(["matte"], {"image": pictures(count)})
        assert (mattes.shape, mattes.dtype) == ((count, SIZE, SIZE), np.uint8)
    expected = Served(network)(torch.from_numpy(pictures(3))).numpy()
    assert np.abs(mattes.astype(int) - expected).max() <= 2
    assert expected.std() > 5


def test_the_file_uses_plain_operators(file: Path) -> None:
    operators = {node.op_type for node in onnx.load(file).graph.node}
    assert operators <= {
        "Add", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Mul", "Pad", "ReduceMean",
        "Resize", "Round", "Sigmoid", "Squeeze", "Sub", "Transpose",
    }  # fmt: skip


def test_the_net_comes_back_from_its_file(network: Cutnet, file: Path) -> None:
    back = from_onnx(file).eval()
    given = torch.from_numpy(pictures(2))
    # The file holds fp16 weights.
    assert (Served(back)(given).int() - Served(network)(given).int()).abs().max() <= 2
    assert back.training is False
    assert to_onnx(back) == file.read_bytes()


def test_another_nets_file_is_refused(tmp_path: Path) -> None:
    onnx.save(small_network(), tmp_path / "small.onnx")
    with pytest.raises(ModelMismatch, match=r"small\.onnx is not cutnet"):
        from_onnx(tmp_path / "small.onnx")
