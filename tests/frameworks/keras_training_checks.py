"""What a recipe says means in Keras what it means in torch, on one backend; test_keras.py runs this file once a backend."""

import re
import time
from pathlib import Path
from typing import Any

from keras_tiny import FRAMEWORK, trial  # isort: skip - it imports torch before TensorFlow.
import keras
import msgspec
import numpy as np
import pytest
import torch
from conftest import CELL
from keras import ops
from PIL import Image
from torchvision.transforms import v2

from bench.data.dataset import ArraySplit, Dataset, FileSplit
from bench.data.read import read_dataset
from bench.errors import JobError, Unsupported
from bench.frameworks import keras_optimization
from bench.frameworks.keras import KerasTrial
from bench.frameworks.keras_augment import histogram, rand_augment, random_box
from bench.frameworks.keras_network import batch_norms, classifier
from bench.frameworks.pytorch_optimization import Optimization, criterion
from bench.frameworks.trial import Request
from bench.measure.diagnosis import describe
from bench.measure.fit import Fit, fit
from bench.plan.cards import FrameworkModel
from bench.plan.recipe import CROP_RATIO, FOCAL_ALPHA, FOCAL_GAMMA, Phase, recipe

ALL = Phase(trained="all", epochs=1, learning_rate=0.003, steps=40, warmup_steps=0)
HEAD = Phase(trained="head", epochs=1, learning_rate=0.003, steps=40)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return read_dataset("digits", 40)


@pytest.fixture(scope="module", autouse=True)
def trained() -> KerasTrial:
    """Return a trial that any test may train; TensorFlow takes its number of threads before its first operation alone."""
    return trial()


def request(positive_weights: tuple[float, ...] | None = None, **changes: Any) -> Request:
    return Request(
        cell=CELL,
        model=FrameworkModel(model="Tiny"),
        recipe=msgspec.structs.replace(recipe("baseline"), **{"schedule": "constant", **changes}),
        classes=5,
        seed=0,
        threads=2,
        positive_weights=positive_weights,
    )


def several_or_one(digits: Dataset, several: bool) -> ArraySplit:
    """Return the training split; of `several` labels, each digit is a 0 too."""
    labels = np.eye(10, dtype=np.int64)[digits.training.labels] | np.eye(10, dtype=np.int64)[0]
    return ArraySplit(lambda: digits.training.images, labels if several else digits.training.labels)


def batch_of(one: KerasTrial, digits: Dataset, start: int = 0) -> Any:
    return one.place(digits.training.images[start : start + 16], digits.training.labels[start : start + 16])


def weights(one: KerasTrial) -> list[np.ndarray]:
    one.steps.settle()
    return [np.array(value) for value in one.network.get_weights()]


OPTIMIZERS = {
    "adam": {"optimizer": "adam", "weight_decay": 0.0},
    "adamw": {"schedule": "cosine", "warmup_epochs": 1, "gradient_clipping": 0.5, "average_decay": 0.5},
    "sgd": {"optimizer": "sgd", "weight_decay": 0.1, "gradient_clipping": 1.0},
    "accumulated": {"optimizer": "sgd", "weight_decay": 0.0, "accumulation_steps": 2, "average_decay": 0.5},
    "accumulated and cosine": {"schedule": "cosine", "warmup_epochs": 1, "accumulation_steps": 2},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_an_optimizer_are_torchs(name: str):
    asked, phase = request(**OPTIMIZERS[name]), msgspec.structs.replace(ALL, learning_rate=0.1, steps=6, warmup_steps=2)
    if asked.recipe.schedule == "constant":
        phase = msgspec.structs.replace(phase, warmup_steps=0)
    module = torch.nn.Linear(4, 1, bias=False)
    variable = keras.Variable(module.weight.detach().numpy(), name="weights")
    theirs = Optimization(module, asked, torch.amp.GradScaler(enabled=False), phase)
    ours = keras_optimization.optimizer(asked, keras_optimization.rate(asked.recipe, phase))
    ours.build([variable])
    for gradient in np.random.default_rng(0).normal(size=(9, 1, 4)).astype(np.float32):
        theirs.step((module.weight * torch.tensor(gradient)).sum())
        ours.apply([ops.convert_to_tensor(gradient)], [variable])
        np.testing.assert_allclose(variable.numpy(), module.weight.detach().numpy(), rtol=1e-5, atol=1e-5)
    if asked.recipe.average_decay:  # With accumulation, the average is torch's just before the next step.
        (average,) = ours._model_variables_moving_average
        np.testing.assert_allclose(average.numpy(), theirs.answering.weight.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "warmup", "together"),
    [("onecycle", 0, 1), ("cosine", 0, 1), ("cosine", 8, 1), ("constant", 8, 1), ("constant", 0, 1), ("constant", 0, 3),
     ("onecycle", 0, 3), ("cosine", 8, 3), ("constant", 8, 3)],
)  # fmt: skip
def test_the_rate_is_torchs(schedule: str, warmup: int, together: int):
    asked = request(optimizer="adam", weight_decay=0.0, schedule=schedule, accumulation_steps=together)
    phase = msgspec.structs.replace(ALL, warmup_steps=warmup)
    module = torch.nn.Linear(1, 1)
    theirs = Optimization(module, asked, torch.amp.GradScaler(enabled=False), phase)
    ours = keras_optimization.rate(asked.recipe, phase)
    for batch in range(40 * together):
        if batch % 4 == 0:
            found = ours if isinstance(ours, float) else float(ops.convert_to_numpy(ours(batch)))
            assert found == pytest.approx(theirs.optimizer.param_groups[0]["lr"], rel=1e-3, abs=1e-9)
        theirs.step(module.weight.sum()) if batch < 39 * together else None


@pytest.mark.parametrize("name", ["cross-entropy", "bce", "weighted-bce", "focal"])
def test_a_loss_is_torchs_for_hard_and_for_mixed_labels(name: str):
    """Keras's own focal loss is not, for logits as far from 0 as some of these."""
    asked = request((0.5, 1.0, 2.0, 4.0, 8.0), loss=name, label_smoothing=0.1 if name == "cross-entropy" else 0.0)
    random = np.random.default_rng(0)
    logits = (12 * random.normal(size=(16, 5))).astype(np.float32)
    hard = (random.random((16, 5)) < 0.4).astype(np.float32)
    for labels in (hard, (0.3 * hard + 0.7 * hard[::-1])):
        expected = criterion(asked, torch.device("cpu"))(torch.tensor(logits), torch.tensor(labels))
        found = keras_optimization.loss(asked)(ops.convert_to_tensor(labels), ops.convert_to_tensor(logits))
        assert float(ops.convert_to_numpy(found)) == pytest.approx(float(expected), rel=1e-5)


def test_focal_loss_is_keras_own_where_its_clipped_probabilities_reach():
    random = np.random.default_rng(0)
    logits = random.normal(size=(16, 5)).astype(np.float32)
    labels = (random.random((16, 5)) < 0.4).astype(np.float32)
    own = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, from_logits=True
    )
    found, expected = (
        float(ops.convert_to_numpy(loss(ops.convert_to_tensor(labels), ops.convert_to_tensor(logits))))
        for loss in (keras_optimization.loss(request(loss="focal", label_smoothing=0.0)), own)
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_head_trains_alone_and_then_everything(digits: Dataset):
    one = trial(head_epochs=1, head_learning_rate=0.003)
    for phase in (HEAD, ALL):
        before = weights(one)
        one.begin(phase)
        one.train_step(batch_of(one, digits))
        changed = [not np.array_equal(*pair) for pair in zip(before, weights(one), strict=True)]
        of_head = [variable.path.startswith(classifier(one.network).path) for variable in one.network.weights]
        assert changed == ([True] * len(changed) if phase is ALL else of_head)
        assert set(one.gradients(batch_of(one, digits))) == {v.path for v in one.network.trainable_variables}


def test_frozen_batch_normalisation_stays_as_the_weights_have_it_while_all_else_trains(digits: Dataset):
    one, free = trial(freeze_batch_norm=True, batch_norm_momentum=None), trial()
    assert one.parameters() == free.parameters()
    norms = {variable.path for layer in batch_norms(one.network) for variable in layer.weights}
    assert norms
    for begin in (lambda: None, lambda: one.begin(ALL)):  # Throughput is measured in no phase.
        before = weights(one)
        begin()
        one.train_step(batch_of(one, digits))
        changed = [not np.array_equal(*pair) for pair in zip(before, weights(one), strict=True)]
        assert changed == [variable.path not in norms for variable in one.network.weights]
    assert not set(one.gradients(batch_of(one, digits))) & norms


def test_averaged_weights_answer_and_training_goes_on_with_its_own(digits: Dataset):
    one = trial(average_decay=0.9)
    one.begin(ALL)
    first = one.logits(digits.validation)
    for start in (0, 16, 32):
        one.train_step(batch_of(one, digits, start))
    own = weights(one)
    answered, snapshot = one.logits(digits.validation), one.snapshot()
    exported = one.source().model(one.normalise(digits.validation.images[:16]), training=False)
    np.testing.assert_allclose(ops.convert_to_numpy(exported), answered[:16], atol=1e-4)
    for here, there in zip(own, weights(one), strict=True):
        np.testing.assert_array_equal(here, there)
    assert not np.array_equal(answered, first)
    one.network.set_weights(own)
    predicted = ops.convert_to_numpy(
        one.predict(one.place(digits.validation.images[:16], digits.validation.labels[:16]))
    )
    assert not np.allclose(answered[:16], predicted, atol=1e-6)
    for _ in range(2):
        one.restore(snapshot)
        np.testing.assert_array_equal(one.logits(digits.validation), answered)
        one.train_step(batch_of(one, digits))


def test_averages_in_bfloat16_are_unsupported():
    with pytest.raises(Unsupported, match="more digits"):
        trial(average_decay=0.9, precision="bf16", optimizer="sgd", weight_decay=0.0)


def test_a_saved_model_answers_the_same_here_and_in_keras_alone(digits: Dataset, tmp_path: Path):
    one, other = trial(average_decay=0.5), trial(seed=1)
    one.train_step(batch_of(one, digits))
    one.save(tmp_path / "model.keras")
    other.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(one.logits(digits.validation), other.logits(digits.validation))
    plain = keras.saving.load_model(tmp_path / "model.keras")
    images = one.normalise(digits.validation.images[:16])
    np.testing.assert_allclose(plain.predict(images, verbose=0), one.logits(digits.validation)[:16], atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "amp-fp16"])
def test_a_training_goes_on_from_its_state_bit_for_bit(precision: str, digits: Dataset, tmp_path: Path):
    """Though it stopped between two batches that make one step; what drops out is drawn on too."""
    changes = {"arguments": {"rate": 0.5}, "accumulation_steps": 2, "average_decay": 0.5, "precision": precision}
    one, other = trial(**changes), trial(seed=1, **changes)
    one.begin(ALL)
    batches = one.loader(digits.training, 7)
    for _ in range(3):
        one.train_step(next(batches))
    one.save_state(tmp_path)
    other.begin(ALL)
    other.load_state(tmp_path)
    losses = []
    for each in (one, other):
        batches = each.loader(digits.training, 8)
        losses.append([each.loss(each.train_step(next(batches))) for _ in range(4)])
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(one.logits(digits.validation), other.logits(digits.validation))
    for here, there in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(here, there)
    assert one.skipped_steps() == other.skipped_steps()
    assert one.in_force()["resumes"] == "bit for bit"


def test_a_training_goes_on_between_two_phases_bit_for_bit(digits: Dataset, tmp_path: Path):
    """What drops out in the second phase is drawn on from the first one's generators."""
    changes = {"arguments": {"rate": 0.5}, "batch_size": 64, "epochs": 1, "head_epochs": 1, "head_learning_rate": 0.01}
    whole, other = trial(**changes), trial(seed=1, **changes)

    class Keeper:
        def step(self, number: int, steps: int, loss: object) -> None: ...

        def epoch(self, done: Fit, one: KerasTrial) -> None:
            if len(done.epochs) == 1:
                one.save(tmp_path / "model.keras")
                one.save_state(tmp_path)

    done = fit(whole, digits, whole.request.recipe, 64, seed=0, watcher=Keeper())
    other.load(tmp_path / "model.keras")
    first = Fit(epochs=done.epochs[:1])
    again = fit(
        other, digits, other.request.recipe, 64, seed=0, done=first, resume=lambda: other.load_state(tmp_path)
    )  # fmt: skip
    assert [epoch.training_loss for epoch in again.epochs] == [epoch.training_loss for epoch in done.epochs]
    for here, there in zip(weights(whole), weights(other), strict=True):
        np.testing.assert_array_equal(here, there)


def test_an_image_that_cannot_be_decoded_is_named_and_nothing_else_is_said(tmp_path: Path):
    files = tuple(tmp_path / f"{number}.jpg" for number in range(32))
    for file in files:
        Image.new("RGB", (48, 48), "white").save(file)
    files[5].write_bytes(files[5].read_bytes()[:-200])
    split = FileSplit(files, np.zeros(32, np.int64), 40)
    for workers in (0, 1):
        one = trial(loader_workers=workers)
        with pytest.raises(JobError, match=f"^{re.escape(str(files[5]))}: cannot be decoded: [^\n]*$"):
            list(one.loader(split, 0))


@pytest.mark.skipif(FRAMEWORK == "keras-torch", reason="torch's loader has processes")
def test_without_loader_workers_one_batch_is_read_at_a_time(digits: Dataset):
    class Watched(ArraySplit):
        reading = most = 0

        def batch(self, indices: np.ndarray) -> np.ndarray:
            self.reading += 1
            self.most = max(self.most, self.reading)
            time.sleep(0.02)
            self.reading -= 1
            return super().batch(indices)

    most = {}
    for workers in (0, 4):
        split = Watched(lambda: digits.training.images, digits.training.labels)
        list(trial(loader_workers=workers).loader(split, 0))
        most[workers] = split.most
    assert most[0] == 1
    assert most[4] > 1


@pytest.mark.skipif(FRAMEWORK == "keras-torch", reason="torch's loader, which has a test of its own")
def test_a_slow_reader_is_told_as_waiting_for_data(digits: Dataset):
    class Slow(ArraySplit):
        def batch(self, indices: np.ndarray) -> np.ndarray:
            time.sleep(0.1)
            return super().batch(indices)

    slow = Slow(lambda: digits.training.images, digits.training.labels)
    dataset = Dataset(classes=digits.classes, training=slow, validation=digits.validation, test=digits.test)
    one = trial(epochs=1, loader_workers=0, batch_size=64)
    (epoch,) = fit(one, dataset, one.request.recipe, 64, seed=0).epochs
    assert epoch.wait_seconds is not None
    assert epoch.training_seconds is not None
    assert 16 * 0.1 * 0.8 <= epoch.wait_seconds <= epoch.training_seconds, (
        "a batch or two may be read while a step is made"
    )


def test_gradients_name_the_weights_that_get_none_and_change_nothing(digits: Dataset):
    whole, cut = trial(arguments={"rate": 0.5}), trial(arguments={"cut": True})
    before = [variable.numpy() for variable in whole.network.variables]
    norms = whole.gradients(batch_of(whole, digits))
    for value, variable in zip(before, whole.network.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    assert all(norm > 0 for norm in norms.values())
    norms = cut.gradients(batch_of(cut, digits))
    head = {variable.path for variable in classifier(cut.network).weights}
    assert {name for name, norm in norms.items() if norm == 0} == {name for name in norms if name not in head} | {
        classifier(cut.network).kernel.path
    }
    assert f"no gradient reaches {len(norms) - 1} of {len(norms)} weights (conv2d" in describe(norms)


def test_the_gradient_of_the_classifiers_bias_is_softmax_less_the_label(digits: Dataset):
    one = trial(label_smoothing=0.0)
    images, shares = batch_of(one, digits)
    logits = ops.softmax(ops.cast(one.network(images, training=True), "float32"))
    expected = np.linalg.norm(ops.convert_to_numpy(ops.mean(logits - shares, axis=0)))
    norms = one.gradients((images, shares))
    assert norms[classifier(one.network).bias.path] == pytest.approx(float(expected), rel=1e-4)


def test_an_image_may_have_several_labels(digits: Dataset):
    one = trial(loss="weighted-bce", label_smoothing=0.0, positive_weights=(3.0,) * 10)
    labels = np.eye(10, dtype=np.int64)[digits.training.labels[:16]]
    labels[:, 0] = 1
    batch = one.place(digits.training.images[:16], labels)
    np.testing.assert_array_equal(ops.convert_to_numpy(batch[1]), labels)
    losses = [one.loss(one.train_step(batch)) for _ in range(12)]
    assert losses[-1] < losses[0]


TECHNIQUES = {
    "flip": {"flip": True},
    "erasing": {"erasing": 1.0},
    "mixup": {"mixup_alpha": 0.5},
    "cutmix": {"cutmix_alpha": 1.0},
    "several": {"mixup_alpha": 0.5, "cutmix_alpha": 1.0, "loss": "bce", "label_smoothing": 0.0, "flip": True},
    "resized": {"resized_crop": (0.2, 1.0)},
    "randaugment": {
        "policy": "randaugment",
        "resized_crop": (0.5, 1.0),
        "flip": True,
        "erasing": 0.5,
        "mixup_alpha": 0.2,
    },
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_a_technique_does_hangs_on_the_seed_alone(name: str, digits: Dataset, trained: KerasTrial):
    one = trial(crop_padding=0.0, execution="eager", **TECHNIQUES[name])
    split = several_or_one(digits, name == "several")
    plain = one.normalise(split.images)
    epochs = [[list(map(ops.convert_to_numpy, next(one.loader(split, seed)))) for _ in range(2)] for seed in (3, 5)]
    for first, again in epochs:
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])
    images, shares = epochs[0][0]
    assert images.shape == (16, 40, 40, 3)
    assert shares.shape == (16, 10)
    assert np.isfinite(images).all()
    changed = np.array([not (np.abs(plain - image) < 1e-4).all(axis=(1, 2, 3)).any() for image in images])
    assert changed.sum() > (2 if name == "flip" else 8)
    if name == "flip":
        mirrored = plain[:, :, ::-1]
        assert all((np.abs(mirrored - image) < 1e-4).all(axis=(1, 2, 3)).any() for image in images[changed])
        assert changed.sum() < 16
    if name != "several":
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    if name in ("mixup", "cutmix", "several"):
        assert ((shares > 0.01) & (shares < 0.99)).any()
    assert np.isfinite(trained.loss(trained.train_step(next(one.loader(split, 3)))))


def test_a_technique_that_keras_lacks_is_named_with_what_it_has(digits: Dataset):
    lacking = {"policy": "autoaugment"}, {"policy": "trivialaugment"}, {"cutmix_alpha": 2.0}
    for changes, said in zip(
        lacking, ("no layer for autoaugment; it has RandAugment", "no layer for", "at most 1"), strict=True
    ):
        batches = trial(**changes).loader(digits.training, 0)
        if FRAMEWORK == "keras-torch":
            next(batches)  # There torchvision's transforms and timm's mixing serve.
        else:
            with pytest.raises(Unsupported, match=said):
                next(batches)


def test_randaugment_goes_as_far_as_torchvisions():
    layer = rand_augment()
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
    channels_first = torch.from_numpy(image).permute(0, 3, 1, 2)
    for ours, theirs in (
        (layer.random_posterization, v2.functional.posterize(channels_first, 7)),
        (layer.solarization, v2.functional.solarize(channels_first, 0.7 * 255)),
    ):
        found = ops.convert_to_numpy(ours(image.astype(np.float32), training=True))
        np.testing.assert_allclose(found, theirs.permute(0, 2, 3, 1), atol=1e-3)
    places = np.indices((41, 41)) - 20
    bar = np.repeat(((abs(places[0]) <= 1) & (places[1] > 8)).astype(np.float32)[None, :, :, None], 3, axis=-1)
    turned = [ops.convert_to_numpy(layer.random_rotation(bar, training=True))[0, :, :, 0] for _ in range(30)]
    angles = [np.degrees(np.arctan2(*(places * one).sum(axis=(1, 2)))) for one in turned]
    assert -9.5 < min(angles) < -4
    assert 4 < max(angles) < 9.5
    white = np.ones((1, 40, 40, 3), np.float32)
    assert min(float(ops.min(layer.random_shear(white, training=True))) for _ in range(5)) == 0, (
        "black where nothing was"
    )


def test_a_random_crop_is_drawn_as_torchvision_draws_it():
    choose, like = random_box((0.08, 1.0), np.random.default_rng(0)), torch.empty(()).expand(3, 60, 90)
    ours = np.array([choose(60, 90) for _ in range(4000)])
    theirs = np.array([v2.RandomResizedCrop.get_params(like, [0.08, 1.0], list(CROP_RATIO)) for _ in range(4000)])
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        np.testing.assert_allclose(np.quantile(ours, share, axis=0), np.quantile(theirs, share, axis=0), atol=2.5)
    assert choose(10, 1000) == v2.RandomResizedCrop.get_params(torch.empty(3, 10, 1000), [1.0, 1.0], list(CROP_RATIO))


def test_what_equalises_on_jax_counts_as_keras_does():
    values = np.random.default_rng(0).integers(0, 256, (1, 9, 9)).astype(np.float32)
    expected = np.bincount(values.astype(np.int64).ravel(), minlength=256)
    np.testing.assert_array_equal(ops.convert_to_numpy(histogram(values, (0, 255), 256)), expected)
