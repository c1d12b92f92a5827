"""The net, and its way to the served file and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")

from cutstream.errors import ModelMismatch  # noqa: E402
from export.train.cutnet import Cutnet, Served  # noqa: E402
from export.train.cutnet_graph import SIZE, graph, load  # noqa: E402
from export.train.encoder import imagenet  # noqa: E402
from tests.support.models import picture_with_blob, small_net  # noqa: E402

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]  # torch's own, on its way through export


@pytest.fixture(scope="module")
def net() -> Cutnet:
    torch.manual_seed(1)
    made = Cutnet().eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # a fresh one does nothing, which would hide a wrong one
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        made.heads[-1].weight *= 20  # a fresh net's answer is one even grey
    return made


@pytest.fixture(scope="module")
def file(net: Cutnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cutnet") / "model.onnx"
    path.write_bytes(graph(net))
    return path


def pictures(count: int) -> np.ndarray:
    return np.stack([picture_with_blob((100 + 20 * n, 150), 40 + 10 * n, SIZE) for n in range(count)])


def test_in_training_it_answers_at_four_sizes_and_else_at_the_finest() -> None:
    net = Cutnet()
    pixels = torch.zeros(2, 3, 96, 64)
    assert [tuple(level.shape) for level in net.train()(pixels)] == [
        (2, 1, 96, 64),
        (2, 1, 24, 16),
        (2, 1, 12, 8),
        (2, 1, 6, 4),
    ]
    assert net.eval()(pixels).shape == (2, 1, 96, 64)


def test_it_costs_less_than_a_giga_multiplication_per_photo() -> None:
    net, count = Cutnet().eval(), [0]
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, out: count.append(out.numel() * m.weight[0].numel()))
    net(torch.zeros(1, 3, SIZE, SIZE))
    assert 0.5e9 < sum(count) <= 1e9


def test_the_published_weights_fill_the_whole_encoder() -> None:
    net = Cutnet()
    published = imagenet()
    net.encoder.load_imagenet(published)
    assert torch.equal(net.encoder.stem.convolution.weight, published["_conv_stem.weight"])
    assert torch.equal(net.encoder.stages[5][3].project.norm.bias, published["_blocks.14._bn2.bias"])
    ours = sum(tensor.numel() for name, tensor in net.encoder.state_dict().items())
    theirs = [name for name in published if not name.startswith(("_conv_head", "_bn1", "_fc", "_blocks.15"))]
    assert ours == sum(published[name].numel() for name in theirs)


def test_the_served_file_is_small_and_takes_any_batch(net: Cutnet, file: Path) -> None:
    assert file.stat().st_size <= 10e6
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (mattes,) = session.run(["matte"], {"image": pictures(count)})
        assert (mattes.shape, mattes.dtype) == ((count, SIZE, SIZE), np.uint8)
    expected = Served(net)(torch.from_numpy(pictures(3))).numpy()
    assert np.abs(mattes.astype(int) - expected).max() <= 2
    assert expected.std() > 5


def test_the_file_uses_plain_operators(file: Path) -> None:
    operators = {node.op_type for node in onnx.load(file).graph.node}
    assert operators <= {
        "Add", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Mul", "Pad", "ReduceMean",
        "Resize", "Round", "Sigmoid", "Squeeze", "Sub", "Transpose",
    }  # fmt: skip


def test_the_net_comes_back_from_its_file(net: Cutnet, file: Path) -> None:
    back = load(file).eval()
    given = torch.from_numpy(pictures(2))
    # The file holds f16 weights.
    assert (Served(back)(given).int() - Served(net)(given).int()).abs().max() <= 2
    assert back.training is False
    assert graph(back) == file.read_bytes()


def test_another_nets_file_is_refused(tmp_path: Path) -> None:
    onnx.save(small_net(), tmp_path / "small.onnx")
    with pytest.raises(ModelMismatch, match=r"small\.onnx is not cutnet"):
        load(tmp_path / "small.onnx")
