"""torchvision and timm, really built, trained and asked, on real digits."""

import copy
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import CELL
from safetensors.torch import save_file

from bench.data.dataset import Dataset
from bench.data.read import read_dataset
from bench.errors import JobError, Unavailable, Unsupported
from bench.frameworks import FRAMEWORKS, timm, torchvision
from bench.frameworks.pytorch import TorchTrial
from bench.frameworks.pytorch_weights import classifiers
from bench.frameworks.trial import Request
from bench.plan.cards import FrameworkModel, model_card, model_names
from bench.plan.recipe import recipe

BUILD = {"torchvision": torchvision.build, "timm": timm.build}
BOTH = pytest.mark.parametrize("framework", BUILD)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return read_dataset("digits", 32)


def request(framework: str, architecture: str = "resnet18", **changes: Any) -> Request:
    cell = {"architecture": architecture, "framework": framework, **changes}
    classes, seed, said = cell.pop("classes", 10), cell.pop("seed", 0), cell.pop("recipe", "baseline")
    return Request(
        cell=msgspec.structs.replace(CELL, **cell),
        model=model_card(architecture).frameworks[framework],
        recipe=recipe(said),
        classes=classes,
        seed=seed,
        threads=2,
    )


def build(framework: str, architecture: str = "resnet18", **changes: Any) -> TorchTrial:
    return BUILD[framework](request(framework, architecture, **changes))


@BOTH
@pytest.mark.parametrize("architecture", model_names())
def test_every_card_builds_and_has_the_published_parameters_and_operations(framework: str, architecture: str):
    card = model_card(architecture)
    assert card.published is not None
    trial = build(framework, architecture, classes=1000, image_size=card.image_size)
    auxiliary = 27161264 - 23834568 if architecture == "inception_v3" else 0
    # timm builds the convolutions of its squeeze-and-excitation with other biases: 0.01 % of the parameters.
    assert trial.parameters() == pytest.approx(card.published.parameters - auxiliary, rel=2e-4)
    # ptflops-style counters differ in what they count beside products; RegNet's and Swin's published figures by 1 %.
    assert trial.flops() == pytest.approx(2 * card.published.multiply_accumulates, rel=0.02)


@BOTH
@pytest.mark.parametrize("precision", FRAMEWORKS["timm"].precisions["cpu"])
def test_a_step_trains_at_every_precision_and_says_what_is_in_force(framework: str, precision: str, digits: Dataset):
    trial = build(framework, precision=precision)
    batch = trial.place(digits.training.images[:16], digits.training.labels[:16])
    losses = [trial.loss(trial.train_step(batch)) for _ in range(12)]
    assert losses[-1] < losses[0]
    force = trial.in_force()
    assert not force["tf32_matmul"]
    assert not force["tf32_convolution"]
    assert force["loss_scaling"] is (precision == "amp-fp16")
    assert force["parameter_type"] == ("bfloat16" if precision == "bf16" else "float32")
    with torch.inference_mode():
        answered = trial.predict(batch)
    expected = {"fp32": torch.float32, "amp-fp16": torch.float16}.get(precision, torch.bfloat16)
    assert answered.dtype == expected, "the last product ran at the precision the cell names"
    assert (trial.skipped_steps() is None) is (precision != "amp-fp16")


def test_a_step_that_overflows_is_skipped_and_counted(digits: Dataset):
    trial = build("torchvision", precision="amp-fp16")
    images, labels = trial.place(digits.training.images[:8], digits.training.labels[:8])
    before = copy.deepcopy(trial.module.fc.weight)
    trial.train_step((images * 1e30, labels))
    assert trial.skipped_steps() == 1
    assert torch.equal(trial.module.fc.weight, before)
    for _ in range(8):  # The scale begins at 65,536 and halves until nothing overflows.
        trial.train_step((images, labels))
    assert 1 <= (trial.skipped_steps() or 0) < 8
    assert not torch.equal(trial.module.fc.weight, before)


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler for torch.compile")
@BOTH
def test_compiled_answers_as_eager_does_and_says_what_compiling_took(framework: str, digits: Dataset):
    eager, compiled = (build(framework, "mobilenet_v3_small", execution=e) for e in ("eager", "compiled"))
    images = eager.place(digits.test.images[:16], digits.test.labels[:16])
    expected, found = eager.predict(images), compiled.predict(images)
    assert torch.allclose(expected, found, atol=1e-4)
    assert eager.compile_seconds() is None
    assert (compiled.compile_seconds() or 0) > 0


@BOTH
def test_logits_are_of_every_image_once_in_order(framework: str, digits: Dataset):
    trial = build(framework)
    logits = trial.logits(digits.validation)
    assert logits.shape == (180, 10)
    one = trial.predict(trial.place(digits.validation.images[175:176], digits.validation.labels[175:176]))
    np.testing.assert_allclose(logits[175:176], one.numpy(), atol=1e-4)


def test_both_frameworks_see_the_same_pixels(digits: Dataset):
    placed = [build(f).place(digits.test.images[:8], digits.test.labels[:8])[0] for f in BUILD]
    assert torch.equal(*placed)


def test_resnet50_is_the_same_network_in_both_logit_for_logit_and_step_for_step(digits: Dataset):
    """The same weights and batches: logits within 1e-4, and 20 losses within 1 %."""
    trials = [build(framework, "resnet50", image_size=64) for framework in BUILD]
    trials[1].module.load_state_dict(trials[0].module.state_dict())
    images = read_dataset("digits", 64).training
    batches = [trials[0].place(images.images[i : i + 8], images.labels[i : i + 8]) for i in (0, 8, 16)]
    with torch.inference_mode():
        assert torch.allclose(*(trial.predict(batches[0]) for trial in trials), atol=1e-4)
    losses = [[trial.loss(trial.train_step(batches[step % 3])) for step in range(20)] for trial in trials]
    np.testing.assert_allclose(*losses, rtol=0.01)
    assert losses[0][-1] < losses[0][0]


@BOTH
def test_the_loader_gives_each_image_once_shuffled_and_cropped(framework: str, digits: Dataset):
    trial = build(framework)
    batches = list(trial.loader(digits.training, seed=1))
    assert len(batches) == len(digits.training) // 16
    labels = torch.cat([labels for _, labels in batches]).numpy()
    assert abs(np.bincount(labels) - np.bincount(digits.training.labels)).sum() == len(digits.training) % 16
    assert not np.array_equal(labels, digits.training.labels[: len(labels)])
    again = torch.cat([labels for _, labels in trial.loader(digits.training, seed=1)]).numpy()
    assert np.array_equal(labels, again)


@BOTH
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(framework: str):
    first, same, other = (build(framework, seed=seed).module for seed in (3, 3, 4))
    weights = [next(module.parameters()) for module in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_batch_norm_momentum_is_the_recipes():
    """torchvision's MobileNetV3 keeps 0.01; after a short training it then answers at chance level."""
    layers = [
        m for m in build("torchvision", "mobilenet_v3_small").module.modules() if isinstance(m, torch.nn.BatchNorm2d)
    ]
    assert {layer.momentum for layer in layers} == {0.1}


def test_torchvisions_squeezenet_whose_classifier_is_a_convolution_is_drawn_too():
    asked = msgspec.structs.replace(request("torchvision", image_size=64), model=FrameworkModel(model="squeezenet1_0"))
    layer = only_classifier(torchvision.build(asked))
    assert layer.weight.shape[0] == 10
    assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05)


def only_classifier(trial: TorchTrial) -> Any:
    (layer,) = classifiers(trial.module).values()
    return layer


@pytest.mark.parametrize(
    ("model", "layers"), [("dla34", 1), ("resnetv2_50", 1), ("deit_tiny_distilled_patch16_224", 2)]
)
def test_a_classifier_that_is_a_convolution_or_a_pair_is_drawn_too(model: str, layers: int):
    asked = request("timm", image_size=64)
    trial = timm.build(msgspec.structs.replace(asked, model=FrameworkModel(model=model)))
    found = classifiers(trial.module)
    assert len(found) == layers
    for layer in found.values():
        assert layer.weight.shape[0] == 10
        assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05)


@BOTH
def test_a_new_classifier_is_drawn_as_the_recipe_says_and_a_loaded_one_is_left_alone(framework: str, tmp_path: Path):
    """timm's own has ten times torchvision's spread for ten classes, and ends 2 points lower on digits."""
    trial = build(framework, "mobilenet_v3_small")
    classifier = only_classifier(trial).weight.detach()
    assert float(classifier.std()) == pytest.approx(0.01, rel=0.05)
    assert trial.in_force()["classifier_init_std"] == 0.01
    file = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() * 2 for name, tensor in trial.module.state_dict().items()}, file)
    loaded = build(framework, "mobilenet_v3_small", weights=str(file))
    assert torch.equal(only_classifier(loaded).weight, classifier * 2)
    assert loaded.in_force()["classifier_init_std"] is None
    other = build(framework, "mobilenet_v3_small", weights=str(file), classes=7)
    assert other.in_force()["classifier_init_std"] == 0.01


@BOTH
def test_with_a_head_phase_the_classifier_is_new_though_the_weights_have_one_for_as_many_classes(
    framework: str, tmp_path: Path
):
    trained = build(framework, seed=5)
    with torch.no_grad():
        trained.module.fc.weight.fill_(7)
    file = tmp_path / "weights.pt"
    torch.save(trained.module.state_dict(), file)
    one = build(framework, weights=str(file), recipe="transfer")
    assert torch.equal(one.module.conv1.weight, trained.module.conv1.weight)
    assert float(one.module.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert one.in_force()["weights_left_out"] == "fc.bias, fc.weight"
    assert one.in_force()["classifier_init_std"] == 0.01


@BOTH
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_checkpoint_gives_its_weights(framework: str, suffix: str, tmp_path: Path):
    trained = build(framework, seed=5)
    file = tmp_path / f"weights.{suffix}"
    state = {name: tensor.contiguous() for name, tensor in trained.module.state_dict().items()}
    save_file(state, file) if suffix == "safetensors" else torch.save({"state_dict": state}, file)
    loaded = build(framework, weights=str(file))
    assert torch.equal(loaded.module.conv1.weight, trained.module.conv1.weight)
    assert loaded.in_force()["weights"] == file.name
    assert loaded.in_force()["weights_left_out"] is None
    other = build(framework, weights=str(file), classes=7)
    assert other.in_force()["weights_left_out"] == "fc.bias, fc.weight"
    assert torch.equal(other.module.conv1.weight, trained.module.conv1.weight)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a checkpoint", "cannot be read as tensors alone"),
        ({"other": torch.zeros(1)}, "does not fit this model"),
        ([1, 2], "holds no dictionary of tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Path, content: object, said: str):
    file = tmp_path / "weights.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(JobError, match=said) as raised:
        build("torchvision", weights=str(file))
    assert str(file) in str(raised.value)


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path):
    file = tmp_path / "weights.pt"
    torch.save({"fc.weight": copy.copy, "oops": Path}, file)
    with pytest.raises(JobError, match="tensors alone"):
        build("torchvision", weights=str(file))


def test_a_missing_checkpoint_is_unavailable():
    with pytest.raises(Unavailable, match="no such checkpoint"):
        build("timm", weights="nowhere.safetensors")


def test_torchvision_weights_come_from_the_cache_and_get_a_new_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", _offline)
    with pytest.raises(Unavailable, match=r"resnet18-f37072fd.pth: not cached.*checkpoints"):
        build("torchvision", weights="pretrained")
    published = build("torchvision", classes=1000, seed=9).module.state_dict()
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True, exist_ok=True)
    torch.save(published, cached)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: torch.load(cached))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *a, **k: torch.load(cached))
    trial = build("torchvision", weights="pretrained")
    assert torch.equal(trial.module.conv1.weight, published["conv1.weight"])
    assert trial.module.fc.out_features == 10
    assert trial.in_force()["weights"] == "resnet18 IMAGENET1K_V1"


def _offline(*arguments: object, **options: object) -> None:
    import urllib.error

    raise urllib.error.URLError("no network")


def test_timm_weights_that_cannot_be_had_are_unavailable(monkeypatch: pytest.MonkeyPatch):
    def no_network(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr("timm.create_model", no_network)
    with pytest.raises(Unavailable, match=r"resnet18.tv_in1k: not cached.*--weights PATH"):
        build("timm", weights="pretrained")


def test_a_model_that_timm_lacks_is_unsupported():
    wanted = request("timm")
    wanted = msgspec.structs.replace(wanted, model=msgspec.structs.replace(wanted.model, model="resnet19"))
    with pytest.raises(Unsupported, match="resnet19"):
        timm.build(wanted)


def test_only_fp32_eager_models_are_exported():
    with pytest.raises(Unsupported, match="fp32 eager"):
        build("timm", precision="bf16").source()
