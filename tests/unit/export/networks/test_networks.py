"""Every torch family, by a small network with random weights: torch → ONNX → joined with its glue; and refusals."""

from __future__ import annotations

import os
import pkgutil
from importlib import resources
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

torch = pytest.importorskip("torch", reason="torch is not installed (extra `export`)")
pytest.importorskip("transformers", reason="transformers is not installed (extra `export`)")
pytest.importorskip("segmentation_models_pytorch", reason="the library is not installed (extra `export`)")

from cutstream.errors import InvalidOption, ModelMismatch, WeightsMissing  # noqa: E402
from cutstream.settings import ModelSettings  # noqa: E402
from export import networks as families  # noqa: E402
from export.formats import torch_to_onnx as torch_export  # noqa: E402
from export.formats.served_graph import require_stored_graph, stored_path  # noqa: E402
from export.formats.simplify import simplify  # noqa: E402
from export.formats.tensorrt_graph import fit_to_tensorrt  # noqa: E402
from export.formats.tensorrt_plan import profile_shapes, read_graph  # noqa: E402
from export.formats.tolerances import TOLERANCES as NEAR  # noqa: E402
from export.formats.torch_to_onnx import TOLERANCE, compare_with_torch, export  # noqa: E402
from export.formats.write_graph import write  # noqa: E402
from export.glue.join import join  # noqa: E402
from export.networks import build  # noqa: E402
from export.profiles import glue_file, size_of  # noqa: E402
from export.weights.catalogue import Model, find_model, read_catalogue  # noqa: E402
from export.weights.store import ensure_weights, find_weights, verify  # noqa: E402
from tests.support.models import picture_with_blob  # noqa: E402
from tests.support.run_folder import run_folder  # noqa: E402
from tests.support.torch_networks import (  # noqa: E402
    TINY,
    exported,
    put_into_store,
    settle,
    settled,
    shapes_of,
    tiny_models,
)

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # torch warns during the export
]

MIRROR = os.environ.get("CUTSTREAM_MODELS__MIRROR", "")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory)


def joined(model: Model, weights: Path, **inputs: np.ndarray) -> np.ndarray:
    graph = join(model, weights, *size_of(model.served_step)).SerializeToString()
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def test_every_family_has_a_tiny_variant_here() -> None:
    assert {module.name for module in pkgutil.iter_modules(families.__path__)} == set(TINY)
    for model in read_catalogue(ModelSettings()):
        assert not model.family or model.family.split(":")[0] in TINY


@pytest.mark.parametrize("family", TINY)
def test_onnx_computes_what_torch_does_for_any_batch(family: str, run: Path, tmp_path: Path) -> None:
    shapes, network, file = shapes_of(family), settled(family), exported(family, run)
    onnx.checker.check_model(onnx.load(file), full_check=True)
    assert compare_with_torch(network, file, shapes) <= TOLERANCE
    chance = torch.Generator().manual_seed(0)  # one box in four is empty: then SAM 2 finds nothing
    with torch.no_grad():
        given = network(*(torch.rand(1, *shape, generator=chance) * 2 - 1 for shape in shapes.values()))
    for one in [given] if isinstance(given, torch.Tensor) else given:
        assert one.std() > 1e-3  # a constant output would agree trivially
    model = find_model(f"tiny_{family}", tiny_models(tmp_path))
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size_of(model.served_step), 3), np.uint8)
    besides = {name: np.zeros((2, *shape), np.float32) for name, shape in model.takes.items()}
    if model.served_step == "matting":
        besides["trimap"] = np.full(pictures.shape[:3], 128, np.uint8)
    levels = joined(model, file, image=pictures, **besides)
    assert (levels.shape, levels.dtype) == (pictures.shape[:3], np.uint8)


@pytest.mark.parametrize("family", TINY)
def test_tensorrt_builds_an_engine_of_every_family(family: str, run: Path, tmp_path: Path) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (Linux on x86-64)")
    model = find_model(f"tiny_{family}", tiny_models(tmp_path))
    graph = fit_to_tensorrt(simplify(join(model, exported(family, run), *size_of(model.served_step))))
    if family == "mask_rcnn":
        with pytest.raises(ModelMismatch, match=r"\(RoiAlign\)"):  # the classic TensorRT has it as a plugin
            read_graph(rtx, graph.SerializeToString(), profile_shapes(graph, 1))
        return
    builder, network, config = read_graph(rtx, graph.SerializeToString(), profile_shapes(graph, 1))
    assert builder.build_serialized_network(network, config).nbytes > 500_000  # for one GPU: all take six times as long


def test_another_graph_is_found_out(run: Path) -> None:
    network = settled("u2net")
    network.outconv.weight.data *= -1
    with pytest.raises(ModelMismatch, match="differs from torch"):
        compare_with_torch(network, exported("u2net", run), shapes_of("u2net"))


def test_a_network_for_one_image_at_a_time_is_compared_on_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM 2 in automatic mode needs 5 GB per image. Three at once are too many for test machines."""
    compared = []
    monkeypatch.setattr(torch_export, "to_onnx", lambda *_: exported("segmentation", run).read_bytes())
    monkeypatch.setattr(torch_export, "compare_with_torch", lambda network, file, shapes, batch: compared.append(batch))
    settings = tiny_models(tmp_path)
    export(msgspec.structs.replace(find_model("tiny_segmentation", settings), one_at_a_time=True), None, settings)
    assert compared == [1]


def test_an_export_goes_into_the_store_and_serves(tmp_path: Path) -> None:
    settings = tiny_models(tmp_path)
    model = find_model("tiny_vitmatte", settings)
    with pytest.raises(WeightsMissing, match="cutstream export tiny_vitmatte --weights FILE"):
        ensure_weights(model, settings)
    path = export(model, None, settings)
    assert ensure_weights(model, settings) == path
    assert list(verify(settings, ["tiny_vitmatte"])) == [path]
    assert [file.name for file in settings.store.iterdir()] == [path.name]
    picture = np.random.default_rng(0).integers(0, 256, (2, 512, 512, 3), np.uint8)
    trimap = np.full((2, 512, 512), 128, np.uint8)
    matte = joined(model, path, image=picture, trimap=trimap)
    assert (matte.shape, matte.dtype) == ((2, 512, 512), np.uint8)
    assert np.abs(matte[0].astype(int) - joined(model, path, image=picture[:1], trimap=trimap[:1])[0]).max() <= 1
    assert export(model, None, settings) == path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsMissing, match=r"is damaged: delete it and run `cutstream export"):
        list(verify(settings, ["tiny_vitmatte"]))


def test_an_export_goes_on_into_other_precisions(run: Path, tmp_path: Path) -> None:
    """ViTMatte has attention, products and a trimap. Random convolutions alone differ too much in bf16 and int8."""
    settings = tiny_models(tmp_path)
    model = find_model("tiny_vitmatte", settings)
    stored = put_into_store("vitmatte", run, settings)
    for number, (centre, radius) in enumerate((((150, 150), 60), ((200, 180), 90), ((120, 90), 40))):
        Image.fromarray(picture_with_blob(centre, radius)).save(tmp_path / f"{number}.png")
    for precision in NEAR:
        written = write(model, precision, tmp_path, settings, stored_path(model, precision, settings))
        assert (written.photos, written.precision) == (3, precision)
        assert require_stored_graph(model, precision, settings).is_file()
    assert ensure_weights(model, settings) == stored  # served graphs do not count as weights


def test_a_checkpoint_goes_all_the_way_in_or_not_at_all(tmp_path: Path) -> None:
    network = build("u2net:tiny", None)
    state = {name: torch.rand_like(value.float()).to(value.dtype) for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "whole.pth")
    loaded = build("u2net:tiny", tmp_path / "whole.pth").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "parallel.pth")
    loaded = build("u2net:tiny", tmp_path / "parallel.pth").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    del state["stage2.rebnconvin.conv_s1.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(ModelMismatch, match=r"part\.pth lacks stage2\.rebnconvin\.conv_s1\.weight"):
        build("u2net:tiny", tmp_path / "part.pth")
    with pytest.raises(ModelMismatch, match=r"(?s)whole\.pth.*size mismatch"):
        build("u2net:small", tmp_path / "whole.pth")
    (tmp_path / "page.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelMismatch, match=r"page\.pth does not fit"):
        build("u2net:tiny", tmp_path / "page.pth")


def test_an_unknown_family_or_variant_is_named(tmp_path: Path) -> None:
    settings = ModelSettings(store=tmp_path)
    with pytest.raises(ModelMismatch, match="there is no variant 'huge'; choose from small, base, tiny"):
        build("depth_anything:huge", None)
    with pytest.raises(InvalidOption, match="cutstream models pull isnet"):
        export(find_model("isnet", settings), None, settings)


@pytest.mark.parametrize(("variant", "millions"), [("full", 44.0), ("small", 1.1)])
def test_u2net_has_the_authors_size(variant: str, millions: float) -> None:
    """The paper's repository states 176.3 and 4.7 MB in float32, so 44.0 M and 1.1 M parameters."""
    count = sum(parameter.numel() for parameter in build(f"u2net:{variant}", None).parameters())
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("family", "millions"),
    [
        ("segmentation:unet_resnet34", 24.4),
        ("deeplab_atrous:v1_vgg16", 20.5),  # table 1 of the paper
        ("deeplab_atrous:v2_resnet101", 44.0),
        ("modnet:mobilenetv2", 6.5),  # 6.49 M in the paper
        ("rvm:mobilenetv3", 3.7),  # 3.749 M in the paper
    ],
)
def test_a_family_has_its_published_size(family: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in build(family, None).parameters())
    assert round(count / 1e6, 1) == millions


def test_mask_rcnn_finds_the_boxes_that_torchvision_does_without_suppression() -> None:
    network = settle(build("mask_rcnn:tiny", None), shapes_of("mask_rcnn"))
    pictures = torch.rand(2, *TINY["mask_rcnn"], generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.no_grad():
        levels = list(network.network.backbone(pictures).values())
        odds, boxes = network._people(levels[:-1], network._proposals(levels))
    theirs, limits = network.network, {"training": 2000, "testing": 2000}
    theirs.transform.min_size, theirs.transform.max_size = (128,), 128
    theirs.transform.image_mean, theirs.transform.image_std = [0.0] * 3, [1.0] * 3
    theirs.rpn._pre_nms_top_n, theirs.rpn._post_nms_top_n = {"testing": 200}, limits
    theirs.rpn.nms_thresh = theirs.roi_heads.nms_thresh = 1.0
    theirs.roi_heads.score_thresh, theirs.roi_heads.detections_per_img = 0.0, 2000
    with torch.no_grad():
        found = theirs(list(pictures))
    for odd, box, one in zip(odds, boxes, found, strict=True):
        assert torch.allclose(odd.sigmoid(), one["scores"][: len(odd)], atol=1e-4)
        assert torch.allclose(box, one["boxes"][: len(box)], atol=1e-2)


@pytest.mark.parametrize(
    ("variant", "millions"),
    [("hiera_tiny", 38.9), ("hiera_small", 46.0), ("hiera_base_plus", 80.8), ("hiera_large", 224.4)],
)
def test_sam2_has_the_authors_size(variant: str, millions: float) -> None:
    """The authors include the memory for videos, equal in all variants, and truncate the decimals."""
    from transformers import Sam2Model, Sam2VideoConfig, Sam2VideoModel

    from export.networks.sam2 import VARIANTS, VIDEO, config

    image = config(*VARIANTS[variant])
    parts = {part: getattr(image, part) for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config")}
    with torch.device("meta"):
        own, whole = Sam2Model(image).state_dict(), Sam2VideoModel(Sam2VideoConfig(**parts))
    assert sum(parameter.numel() for parameter in whole.parameters()) // 10**5 / 10 == millions
    shapes = {name: value.shape for name, value in whole.state_dict().items() if not name.startswith(VIDEO)}
    assert shapes == {name: value.shape for name, value in own.items()}


def test_sam2_takes_what_its_checkpoint_has_for_pictures(tmp_path: Path) -> None:
    from export.networks.sam2 import COPY

    state = build("sam2:tiny", None).network.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith(COPY)}
    state["shared_image_embedding.positional_embedding"] += 1.0
    torch.save({**state, "memory_attention.layer_norm.weight": torch.ones(32)}, tmp_path / "whole.pth")
    loaded = build("sam2:tiny", tmp_path / "whole.pth").network.state_dict()
    assert torch.equal(loaded[f"{COPY}positional_embedding"], state["shared_image_embedding.positional_embedding"])
    del state["mask_decoder.conv_s0.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(ModelMismatch, match=r"part\.pth lacks mask_decoder\.conv_s0\.weight"):
        build("sam2:tiny", tmp_path / "part.pth")


def test_sam2_unites_its_boxes() -> None:
    network = settle(build("sam2:tiny", None), shapes_of("sam2"))
    picture = torch.randn(1, *TINY["sam2"], generator=torch.Generator().manual_seed(1))
    boxes = torch.zeros(1, 8, 4)
    boxes[0, :2] = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.4, 0.1, 0.9, 0.6]])
    number = torch.arange(8)[:, None]
    with torch.no_grad():
        both, first, second = (network(picture, boxes * those) for those in (number < 2, number < 1, number == 1))
        none = network(picture, torch.zeros(1, 8, 4))
    assert (first - second).abs().max() > 0.01
    torch.testing.assert_close(both, torch.maximum(first, second))
    assert not none.any()


def test_sam2_is_prompted_at_the_points_of_a_grid() -> None:
    """The order is row by row. Each point gets the same three masks as when it is the only prompt."""
    network = settle(build("sam2_everything:tiny", None), shapes_of("sam2_everything"))
    pictures = torch.randn(2, *TINY["sam2_everything"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits, guesses = network(pictures)
        for picture, row, column in ((0, 0, 0), (0, 3, 11), (1, 15, 15), (1, 8, 2)):
            point = torch.tensor([(column + 0.5) / 16, (row + 0.5) / 16]) * 128
            alone = network.network(pixel_values=pictures[picture : picture + 1], input_points=point[None, None, None])
            masks = slice(3 * (16 * row + column), 3 * (16 * row + column) + 3)
            torch.testing.assert_close(logits[picture, masks], alone.pred_masks[0, 0], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(guesses[picture, masks], alone.iou_scores[0, 0], rtol=1e-3, atol=1e-3)


def test_unpooling_equals_torchs_also_for_equal_values() -> None:
    """After a ReLU most of a window may be zero; torch keeps the first index."""
    from export.networks.deep_matting import positions_of_maxima, unpool

    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 3, (2, 5, 8, 12), generator=generator).float()
    pooled, indices = torch.nn.functional.max_pool2d(levels, 2, return_indices=True)
    values = torch.randn(pooled.shape, generator=generator)
    assert torch.equal(
        unpool(values, positions_of_maxima(levels)), torch.nn.functional.max_unpool2d(values, indices, 2)
    )


@pytest.mark.parametrize(
    ("family", "names"),
    [
        (
            "modnet:mobilenetv2",
            {
                "backbone.model.features.0.0.weight": (32, 3, 3, 3),
                "backbone.model.features.1.conv.3.weight": (16, 32, 1, 1),
                "lr_branch.backbone.model.features.18.1.running_var": (1280,),
                "lr_branch.se_block.fc.0.weight": (320, 1280),
                "hr_branch.conv_hr4x.0.layers.1.bnorm.weight": (32,),
                "f_branch.conv_f.1.layers.0.bias": (1,),
            },
        ),
        (
            "rvm:mobilenetv3",
            {
                "backbone.features.16.1.weight": (960,),
                "aspp.aspp2.1.weight": (128, 960, 1, 1),
                "decoder.decode4.gru.ih.0.weight": (128, 128, 3, 3),
                "decoder.decode1.gru.hh.0.weight": (16, 32, 3, 3),
                "decoder.decode0.conv.3.weight": (16, 16, 3, 3),
                "project_mat.conv.bias": (4,),
                "refiner.conv.6.bias": (4,),
            },
        ),
    ],
)
def test_a_family_has_the_names_of_its_published_checkpoint(family: str, names: dict[str, tuple[int, ...]]) -> None:
    state = build(family, None).state_dict()
    assert {name: tuple(state[name].shape) for name in names} == names


@pytest.mark.weights
@pytest.mark.parametrize(("name", "family"), [("u2netp", "u2net:small"), ("isnet", "isnet:full")])
def test_published_weights_give_the_published_map(name: str, family: str) -> None:
    """The published ONNX files have folded normalisation and list their convolutions in order of execution."""
    model = find_model(name, ModelSettings())
    found = find_weights(model, ModelSettings(mirror=Path(MIRROR) if MIRROR else None))
    if found is None:
        pytest.skip(f"neither store nor CUTSTREAM_MODELS__MIRROR has the weights of {name}")
    graph = onnx.load(found.path).graph
    network = build(family, None)
    for place, convolution in zip(in_order(network), [n for n in graph.node if n.op_type == "Conv"], strict=True):
        weight, bias = (torch.tensor(constant(graph, part)) for part in convolution.input[1:3])
        network.get_submodule(place).load_state_dict({"weight": weight, "bias": bias})
    with resources.as_file(resources.files("skimage") / "data" / "chelsea.png") as path:
        photo = cv2.resize(cv2.imread(str(path))[..., ::-1], (model.width, model.height), interpolation=cv2.INTER_AREA)
    prepared = onnxruntime.InferenceSession(glue_file(model.normalise), providers=["CPUExecutionProvider"])
    (normalised,) = prepared.run(None, {"image": photo[None]})
    session = onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])
    (expected,) = session.run([graph.output[0].name], {graph.input[0].name: normalised})
    with torch.no_grad():
        given = network(torch.from_numpy(normalised)).numpy()
    assert expected.max() > 0.9
    assert np.abs(given - expected).max() < 1e-3


def constant(graph: onnx.GraphProto, name: str) -> np.ndarray:
    """Return a constant as float32, also if it is stored in half precision and cast."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    while name not in tensors:
        name = makers[name].input[0]
    return numpy_helper.to_array(tensors[name]).astype(np.float32)


def in_order(network) -> list[str]:
    """Return the convolutions in order of execution, the side outputs last, and neutralise batch normalisation."""
    names: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: names.append(name))
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    inner = [name for name in names if not name.startswith(("side", "outconv"))]
    return [*inner, *(f"side{number}" for number in range(1, 7)), *(name for name in names if name == "outconv")]
