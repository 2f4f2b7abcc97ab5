"""Every technique of a recipe in torch, on a small network and real digits."""

import copy
import gc
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import CELL
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from bench.data.dataset import ArraySplit, Dataset, PixelSplit
from bench.data.decode import scaler
from bench.data.read import read_dataset
from bench.errors import Unsupported
from bench.frameworks import FRAMEWORKS
from bench.frameworks.pytorch import TorchTrial, prepare
from bench.frameworks.pytorch_augment import random_box
from bench.frameworks.pytorch_loader import Loader
from bench.frameworks.pytorch_weights import Weights
from bench.frameworks.trial import Request
from bench.measure.fit import fit
from bench.plan.cards import FrameworkModel
from bench.plan.recipe import FIRST_RATE, Phase, Recipe, recipe

PLAIN = Recipe(description="", epochs=2, optimizer="sgd", learning_rate=0.1)
PHASE = Phase(trained="all", epochs=1, learning_rate=0.1, steps=20)


class Tiny(nn.Module):
    """Two convolutions, one with batch normalisation where asked, and a classifier."""

    def __init__(self, normalised: bool, dropout: float, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2)
        self.norm = nn.BatchNorm2d(8) if normalised else nn.Identity()
        self.second = nn.Conv2d(8, 8, 3, 2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.second(self.norm(self.first(images)).relu()).relu().mean((2, 3))
        return self.head(self.dropout(features))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return read_dataset("digits", 16)


def trial(
    said: Recipe, *, normalised: bool = False, dropout: float = 0.0, classes: int = 10, weights: Any = None, **cell: Any
) -> TorchTrial:
    request = Request(
        cell=msgspec.structs.replace(CELL, framework="torchvision", image_size=16, **cell),
        model=FrameworkModel(model="tiny"),
        recipe=said,
        classes=classes,
        seed=0,
        threads=2,
        positive_weights=weights,
    )
    prepare(request)
    return TorchTrial(Tiny(normalised, dropout, classes), request, Weights(name="random", new_classifier=True), None)


def changed(**changes: Any) -> Recipe:
    return msgspec.structs.replace(PLAIN, **changes)


def batch(one: TorchTrial, split: ArraySplit, begin: int, end: int) -> Any:
    return one.place(split.images[begin:end], split.labels[begin:end])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_four_batches_of_8_together_are_one_of_32(optimizer: str, digits: Dataset):
    together = trial(changed(optimizer=optimizer, accumulation_steps=4, gradient_clipping=1.0), batch_size=8)
    at_once = trial(changed(optimizer=optimizer, gradient_clipping=1.0), batch_size=32)
    for one in (together, at_once):
        one.begin(msgspec.structs.replace(PHASE, learning_rate=0.1 if optimizer == "sgd" else 0.003))
    for step in range(10):
        for part in range(4):
            begin = 32 * step + 8 * part
            together.train_step(batch(together, digits.training, begin, begin + 8))
        at_once.train_step(batch(at_once, digits.training, 32 * step, 32 * step + 32))
    for here, there in zip(together.module.parameters(), at_once.module.parameters(), strict=True):
        assert (here - there).abs().max() <= 1e-5
    assert not torch.equal(at_once.module.head.weight, trial(PLAIN).module.head.weight)


def rates(said: Recipe, phase: Phase, steps: int, digits: Dataset) -> list[float]:
    one = trial(said)
    one.begin(phase)
    found = []
    for _ in range(steps):
        found.append(one.optimization.optimizer.param_groups[0]["lr"])
        one.train_step(batch(one, digits.training, 0, 8))
    return found


def test_a_cosine_falls_to_nothing_after_a_line_that_rises(digits: Dataset):
    phase = Phase(trained="all", epochs=5, learning_rate=0.1, steps=20, warmup_steps=4)
    found = rates(changed(schedule="cosine", warmup_epochs=1), phase, 20, digits)
    first = 0.1 * FIRST_RATE
    assert found[:4] == pytest.approx([first + (0.1 - first) * n / 4 for n in range(4)])
    assert found[4:] == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 16)) for n in range(16)])


def test_constant_stays_and_onecycle_rises_and_falls(digits: Dataset):
    assert set(rates(PLAIN, PHASE, 5, digits)) == {0.1}
    found = rates(changed(schedule="onecycle"), PHASE, 20, digits)
    assert found[0] == pytest.approx(0.1 * FIRST_RATE)
    assert max(found) == pytest.approx(0.1, rel=0.01)
    assert found[-1] < 1e-4
    warmed = rates(changed(warmup_epochs=1), msgspec.structs.replace(PHASE, warmup_steps=2), 5, digits)
    assert warmed == pytest.approx([0.1 * FIRST_RATE, 0.05 * (1 + FIRST_RATE), 0.1, 0.1, 0.1])


def test_the_schedule_counts_steps_of_the_optimizer(digits: Dataset):
    phase = msgspec.structs.replace(PHASE, steps=4)
    found = rates(changed(schedule="cosine", accumulation_steps=2), phase, 8, digits)
    assert found[0::2] == found[1::2]
    assert found[0] > found[2] > found[4]


def test_clipping_limits_a_step(digits: Dataset):
    one = trial(changed(gradient_clipping=1e-3))
    one.begin(PHASE)
    before = copy.deepcopy(one.module.state_dict())
    one.train_step(batch(one, digits.training, 0, 32))
    moved = torch.cat([(weight - before[name]).flatten() for name, weight in one.module.state_dict().items()])
    assert 0 < moved.norm() <= 0.1 * 1e-3 * 1.9 * 1.01  # Nesterov's momentum of 0.9 adds its share at once.


def test_averaged_weights_answer_and_the_others_go_on(digits: Dataset):
    one, plain = trial(changed(average_decay=0.5), normalised=True), trial(PLAIN, normalised=True)
    for each in (one, plain):
        each.begin(PHASE)
    seen: list[torch.Tensor] = []
    for step in range(3):
        for each in (one, plain):
            each.train_step(batch(each, digits.training, 32 * step, 32 * step + 32))
        seen.append(plain.module.head.weight.detach().clone())
    expected = 0.5 * (0.5 * seen[0] + 0.5 * seen[1]) + 0.5 * seen[2]
    torch.testing.assert_close(one.snapshot()["head.weight"], expected)
    torch.testing.assert_close(one.module.head.weight, plain.module.head.weight)
    assert not np.allclose(one.logits(digits.validation), plain.logits(digits.validation))
    one.restore(one.snapshot())
    torch.testing.assert_close(one.module.head.weight, expected)
    with pytest.raises(Unsupported, match="more digits"):
        trial(changed(average_decay=0.5), precision="bf16")


def test_a_head_phase_trains_the_classifier_alone_and_keeps_the_statistics(digits: Dataset):
    one = trial(PLAIN, normalised=True)
    before = copy.deepcopy(one.module.state_dict())
    one.begin(msgspec.structs.replace(PHASE, trained="head"))
    one.train_step(batch(one, digits.training, 0, 32))
    differing = {name for name, weight in one.module.state_dict().items() if not torch.equal(weight, before[name])}
    assert differing == {"head.weight", "head.bias"}
    one.begin(PHASE)
    one.train_step(batch(one, digits.training, 0, 32))
    after = one.module.state_dict()
    assert not torch.equal(after["first.weight"], before["first.weight"])
    assert not torch.equal(after["norm.running_mean"], before["norm.running_mean"])


def test_frozen_batch_normalisation_stays_as_the_weights_have_it_while_all_else_trains(digits: Dataset):
    one = trial(changed(freeze_batch_norm=True), normalised=True)
    images, labels = batch(one, digits.training, 0, 32)
    for begin in (lambda: None, lambda: one.begin(PHASE)):  # Throughput is measured in no phase.
        before = copy.deepcopy(one.module.state_dict())
        begin()
        one.train_step((images, labels))
        differing = {name for name, weight in one.module.state_dict().items() if not torch.equal(weight, before[name])}
        assert differing == {f"{layer}.{what}" for layer in ("first", "second", "head") for what in ("weight", "bias")}
    assert not set(one.gradients((images, labels))) & {"norm.weight", "norm.bias"}
    assert one.parameters() == trial(PLAIN, normalised=True).parameters()
    alone = one.module(images[:1])
    torch.testing.assert_close(one.module(images)[:1], alone)
    one.logits(digits.test)
    one.train_step((images, labels))
    assert not one.module.norm.training, "also after it has answered"


def test_gradients_that_a_phase_gathered_and_took_no_step_with_are_not_the_next_ones(digits: Dataset):
    said = changed(accumulation_steps=2)
    one, other = trial(said), trial(said)
    one.begin(msgspec.structs.replace(PHASE, trained="head"))
    one.train_step(batch(one, digits.training, 0, 32))  # Half a step.
    for each in (one, other):
        each.begin(PHASE)
        for begin in (32, 64):
            each.train_step(batch(each, digits.training, begin, begin + 32))
    for here, there in zip(one.module.parameters(), other.module.parameters(), strict=True):
        assert torch.equal(here, there)


def test_one_cycle_leaves_the_momentum_alone_as_in_keras(digits: Dataset):
    one = trial(changed(schedule="onecycle"))
    one.begin(PHASE)
    seen = set()
    for _ in range(20):
        seen.add(one.optimization.optimizer.param_groups[0]["momentum"])
        one.train_step(batch(one, digits.training, 0, 8))
    assert seen == {0.9}


def test_losses_for_several_labels_are_the_librarys(digits: Dataset):
    labels = np.eye(10, dtype=np.int64)[digits.training.labels[:8]]
    weights = tuple(float(n) for n in range(1, 11))
    for loss, expected in {
        "bce": lambda x, y: nn.functional.binary_cross_entropy_with_logits(x, y),
        "weighted-bce": lambda x, y: nn.functional.binary_cross_entropy_with_logits(
            x, y, pos_weight=torch.tensor(weights)
        ),
        "focal": lambda x, y: sigmoid_focal_loss(x, y, reduction="mean"),
    }.items():
        one = trial(changed(loss=loss), weights=weights)
        placed = one.place(digits.training.images[:8], labels)
        with torch.inference_mode():
            said = expected(one.module(placed[0]), placed[1])
        assert one.loss(one.train_step(placed)) == pytest.approx(float(said), rel=1e-5)


@pytest.mark.parametrize("precision", FRAMEWORKS["torchvision"].precisions["cpu"])
def test_everything_together_trains_at_every_precision(precision: str, digits: Dataset):
    modern = msgspec.structs.replace(
        recipe("modern"), epochs=2, warmup_epochs=0.5, average_decay=None if precision == "bf16" else 0.9,
        accumulation_steps=2, head_epochs=1, head_learning_rate=0.01,
    )  # fmt: skip
    one = trial(modern, normalised=True, precision=precision, batch_size=64)
    fitted = fit(one, digits, modern, 64, seed=0)
    assert [epoch.trained for epoch in fitted.epochs] == ["head", "all", "all"]
    assert fitted.epochs[-1].training_loss < 2.5


@pytest.mark.parametrize("policy", ["randaugment", "autoaugment", "trivialaugment"])
def test_augmentation_hangs_on_the_seed_alone(policy: Any, digits: Dataset):
    said = changed(policy=policy, crop_padding=0.1, flip=True, erasing=0.5, mixup_alpha=0.2, cutmix_alpha=1.0)
    one = trial(said, batch_size=32)
    first, again, other = (next(one.loader(digits.training, seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[1].shape == (32, 10)
    torch.testing.assert_close(first[1].sum(dim=1), torch.ones(32))


def test_mixing_needs_pairs(digits: Dataset):
    with pytest.raises(Unsupported, match="a batch of 9 is odd"):
        next(trial(changed(mixup_alpha=0.2), batch_size=9).loader(digits.training, 0))


def test_random_crops_have_the_areas_that_the_recipe_gives():
    choose = random_box(changed(resized_crop=(0.25, 0.5)))
    assert choose is not None
    areas = [tall * wide / (300 * 400) for _, _, tall, wide in (choose(300, 400) for _ in range(200))]
    assert 0.24 <= min(areas) < 0.3
    assert 0.45 < max(areas) <= 0.51
    assert random_box(PLAIN) is None


def test_a_crop_is_scaled_as_pillow_scales_it():
    said = changed(resized_crop=(0.3, 0.6), loader_workers=0)
    photographs = np.stack(load_sample_images().images)
    split = PixelSplit(photographs, np.arange(2), 64)
    torch.manual_seed(0)
    images, labels = next(Loader(said, 64, 2, torch.device("cpu")).batches(split, 0))
    choose = random_box(said)
    assert choose is not None
    torch.manual_seed(0)
    expected = split.crop(labels.numpy(), choose, scaler(64))
    assert np.abs(images.numpy().astype(int) - expected).max() <= 1


def test_images_in_memory_lie_on_the_device_once(digits: Dataset):
    loader = Loader(PLAIN, 16, 32, torch.device("cpu"))
    list(loader.batches(digits.validation))
    (held,) = loader._resident.values()
    images, labels = next(iter(loader.batches(digits.validation)))
    np.testing.assert_array_equal(images.numpy(), digits.validation.images[:32])
    np.testing.assert_array_equal(labels.numpy(), digits.validation.labels[:32])
    assert next(iter(loader._resident.values())) is held
    del images, labels
    list(loader.batches(ArraySplit(lambda: digits.test.images[:8], digits.test.labels[:8])))
    gc.collect()
    assert len(loader._resident) == 1, "what lies there goes with its split"


@pytest.mark.parametrize("execution", ["eager"])
def test_a_training_goes_on_bit_for_bit(execution: Any, digits: Dataset, tmp_path: Path):
    said = changed(
        optimizer="adamw", learning_rate=0.003, schedule="onecycle", epochs=3, accumulation_steps=3, average_decay=0.9,
        policy="randaugment", mixup_alpha=0.2, gradient_clipping=1.0,
    )  # fmt: skip
    phase = said.phases(len(digits.training) // 64)[0]
    whole, stopped, resumed = (trial(said, normalised=True, dropout=0.2, batch_size=64) for _ in range(3))
    for one in (whole, stopped):
        one.begin(phase)
        for one_batch in one.loader(digits.training, 1):
            one.train_step(one_batch)
    stopped.save_state(tmp_path)
    resumed.begin(phase)
    resumed.load_state(tmp_path)
    for one in (whole, resumed):
        for one_batch in one.loader(digits.training, 2):
            one.train_step(one_batch)
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, resumed.module.state_dict()[name]), name
    np.testing.assert_array_equal(whole.logits(digits.validation), resumed.logits(digits.validation))
    assert whole.in_force()["resumes"] == "bit for bit"


def test_saved_weights_answer_as_before(digits: Dataset, tmp_path: Path):
    one, other = trial(changed(average_decay=0.5), normalised=True), trial(PLAIN, normalised=True)
    one.begin(PHASE)
    for step in range(3):
        one.train_step(batch(one, digits.training, 32 * step, 32 * step + 32))
    one.save(tmp_path / "model.safetensors")
    other.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(one.logits(digits.test), other.logits(digits.test))
    (tmp_path / "any").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode, (
        "others may read it too"
    )


def test_gradients_name_the_layer_that_none_reaches_and_change_nothing(digits: Dataset):
    one = trial(PLAIN, normalised=True)
    before = copy.deepcopy(one.module.state_dict())
    found = one.gradients(batch(one, digits.training, 0, 32))
    assert set(found) == {name for name, _ in one.module.named_parameters()}
    assert found["first.weight"] > 0
    one.module.norm.register_forward_hook(lambda *parts: parts[-1].detach())
    cut = one.gradients(batch(one, digits.training, 0, 32))
    assert {name for name, norm in cut.items() if norm == 0} == {
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
    }
    assert all(torch.equal(weight, before[name]) for name, weight in one.module.state_dict().items())
    assert all(weight.grad is None for weight in one.module.parameters())


def test_a_slow_reader_is_told_as_waiting_for_data(digits: Dataset):
    class Slow(ArraySplit):
        in_memory = False

        def batch(self, indices: np.ndarray) -> np.ndarray:
            time.sleep(0.02)
            return super().batch(indices)

    slow = Slow(lambda: digits.training.images, digits.training.labels)
    dataset = Dataset(classes=digits.classes, training=slow, validation=digits.validation, test=digits.test)
    said = changed(epochs=1, loader_workers=0)
    (epoch,) = fit(trial(said, batch_size=64), dataset, said, 64, seed=0).epochs
    assert epoch.wait_seconds is not None
    assert epoch.training_seconds is not None
    assert 16 * 0.02 <= epoch.wait_seconds <= epoch.training_seconds
