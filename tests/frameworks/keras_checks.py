"""Keras on one backend, really built, trained and asked; test_keras.py runs this file once a backend, KERAS_BACKEND set."""

from pathlib import Path

from keras_tiny import FRAMEWORK, trial  # isort: skip - it imports torch before TensorFlow.
import keras
import msgspec
import numpy as np
import pytest
import torch
from keras import ops

from bench.data.dataset import Dataset
from bench.data.read import read_dataset
from bench.errors import JobError, Unavailable, Unsupported
from bench.frameworks import FRAMEWORKS
from bench.frameworks.keras import KerasTrial, build
from bench.frameworks.keras_network import Normalisation, classifier, copy_weights, initialise_classifier, leaves
from bench.frameworks.pixels import IMAGENET
from bench.measure.fit import Fit, fit
from bench.plan.cards import Pixels, framework_model


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return read_dataset("digits", 40)


@pytest.mark.parametrize("precision", FRAMEWORKS[FRAMEWORK].precisions["cpu"])
def test_a_step_trains_at_every_precision_and_says_what_is_in_force(precision: str, digits: Dataset):
    one = trial(precision=precision)
    batch = one.place(digits.training.images[:16], digits.training.labels[:16])
    if precision == "bf16":
        with pytest.raises(Unsupported, match="no weight ever moves"):
            one.train_step(batch)
    else:
        losses = [one.loss(one.train_step(batch)) for _ in range(12)]
        assert losses[-1] < losses[0]
    force = one.in_force()
    assert force["loss_scaling"] is (precision == "amp-fp16")
    assert force["parameter_type"] == ("bfloat16" if precision == "bf16" else "float32")
    expected = {"fp32": "float32", "amp-fp16": "float16"}.get(precision, "bfloat16")
    assert force["compute_type"] == expected
    assert keras.backend.standardize_dtype(one.predict(batch).dtype) == expected
    assert force["backend"] == keras.backend.backend()
    assert (one.skipped_steps() is None) is (precision != "amp-fp16")


@pytest.mark.parametrize("execution", FRAMEWORKS[FRAMEWORK].executions[1:])
def test_every_execution_answers_and_trains_alike(execution: str, digits: Dataset):
    eager, other = trial(execution="eager"), trial(execution=execution)
    batch = eager.place(digits.test.images[:16], digits.test.labels[:16])
    answers = [ops.convert_to_numpy(one.predict(batch)) for one in (eager, other)]
    np.testing.assert_allclose(*answers, atol=1e-4)
    losses = [[one.loss(one.train_step(batch)) for _ in range(3)] for one in (eager, other)]
    np.testing.assert_allclose(*losses, rtol=1e-2)
    assert eager.in_force()["run_eagerly"] is True
    assert other.in_force()["run_eagerly"] is False
    own = "xla" if FRAMEWORK == "keras-tensorflow" else "compiled"
    assert other.in_force()["jit_compile"] is (execution == own)


def test_the_loss_is_that_of_the_newest_batch_alone(digits: Dataset):
    """Keras's own is the mean since the epoch began: it would fall slower, and hide a step that trains nothing."""
    one = trial()
    batches = [one.place(digits.training.images[i : i + 16], digits.training.labels[i : i + 16]) for i in (0, 16)]
    one.train_step(batches[0])
    one.steps.settle()
    answers = ops.convert_to_numpy(one.network(batches[1][0], training=True))
    expected = float(one.network.loss(batches[1][1], answers))
    handles = [one.train_step(batch) for batch in (batches[1], batches[0])]
    assert one.loss(handles[0]) == pytest.approx(expected, rel=1e-3)
    assert one.loss(handles[1]) != one.loss(handles[0])


def test_steps_taken_one_by_one_are_those_that_fit_takes(digits: Dataset):
    ours, fitted = trial(), trial()
    batches = [ours.place(digits.training.images[i : i + 16], digits.training.labels[i : i + 16]) for i in (0, 16, 32)]
    for batch in batches:
        ours.train_step(batch)
    ours.steps.settle()
    fitted.network.fit((batch for batch in batches), steps_per_epoch=3, epochs=1, verbose=0)
    for here, there in zip(ours.network.get_weights(), fitted.network.get_weights(), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-5)


def test_a_step_that_overflows_is_skipped_and_counted(digits: Dataset):
    one = trial(precision="amp-fp16")
    images, labels = one.place(digits.training.images[:8], digits.training.labels[:8])
    before = np.array(ops.convert_to_numpy(classifier(one.network).kernel))
    one.train_step((images * 1e30, labels))
    assert one.skipped_steps() == 1
    np.testing.assert_array_equal(before, ops.convert_to_numpy(classifier(one.network).kernel))


def test_a_prediction_takes_no_memory_for_an_optimizer(digits: Dataset):
    one = trial()
    batch = one.place(digits.training.images[:16], digits.training.labels[:16])
    one.predict(batch)
    assert not one.network.optimizer.built
    one.train_step(batch)
    assert one.network.optimizer.built


def test_logits_are_of_every_image_once_in_order(digits: Dataset):
    one = trial()
    logits = one.logits(digits.validation)
    assert logits.shape == (180, 10)
    batch = one.place(digits.validation.images[175:176], digits.validation.labels[175:176])
    np.testing.assert_allclose(logits[175:176], ops.convert_to_numpy(one.predict(batch)), atol=1e-4)


def test_the_loader_gives_each_image_once_shuffled_and_cropped(digits: Dataset):
    one = trial()
    batches = list(one.loader(digits.training, seed=1))
    assert len(batches) == len(digits.training) // 16
    labels = np.concatenate([ops.convert_to_numpy(given).argmax(axis=1) for _, given in batches])
    assert abs(np.bincount(labels) - np.bincount(digits.training.labels)).sum() == len(digits.training) % 16
    assert not np.array_equal(labels, digits.training.labels[: len(labels)])
    again = [ops.convert_to_numpy(given).argmax(axis=1) for _, given in one.loader(digits.training, seed=1)]
    assert np.array_equal(labels, np.concatenate(again))


def test_a_crop_shifts_by_whole_pixels_and_fills_with_black(digits: Dataset):
    """What torchvision's RandomCrop does: every cropped image is one of the 3 × 3 shifts of an image by a pixel."""
    one = trial()
    pixels = one.normalise(digits.training.images)
    black = one.normalise(np.zeros((1, 40, 40, 3), np.uint8))[0, 0, 0]
    padded = np.pad(pixels - black, ((0, 0), (1, 1), (1, 1), (0, 0))) + black
    shifts = [padded[:, y : y + 40, x : x + 40].reshape(len(pixels), -1) for y in range(3) for x in range(3)]
    images, _ = next(iter(one.loader(digits.training, seed=3)))
    found = []
    for image in ops.convert_to_numpy(images).reshape(16, -1):
        nearest = [float(np.abs(shifted - image).max(axis=1).min()) for shifted in shifts]
        assert min(nearest) < 1e-4
        found.append(int(np.argmin(nearest)))
    assert len(set(found)) > 3


def test_a_training_keeps_the_weights_of_the_epoch_that_was_best(digits: Dataset):
    one = trial(batch_size=64)
    kernels: list[np.ndarray] = []

    class Watcher:
        def step(self, number: int, steps: int, loss: object) -> None: ...

        def epoch(self, done: Fit, trial: KerasTrial) -> None:
            kernels.append(np.array(ops.convert_to_numpy(classifier(trial.network).kernel)))

    done = fit(one, digits, one.request.recipe, 64, seed=0, watcher=Watcher())
    assert done.epochs[1].training_loss < done.epochs[0].training_loss
    assert not np.array_equal(*kernels)
    np.testing.assert_array_equal(ops.convert_to_numpy(classifier(one.network).kernel), kernels[done.best_epoch - 1])
    one.train_step(one.place(digits.training.images[:64], digits.training.labels[:64]))


@pytest.mark.parametrize("architecture", [None, *(["efficientnet_b0"] if FRAMEWORK == "keras-torch" else [])])
def test_what_reaches_the_network_is_what_reaches_torchvisions(architecture: str | None, digits: Dataset):
    """Pixel for pixel; what EfficientNet divides by inside is taken back."""
    from bench.frameworks import torchvision

    ours = trial(architecture)
    model = framework_model("resnet18", "torchvision")
    assert model is not None
    cell = msgspec.structs.replace(ours.request.cell, framework="torchvision", execution="eager")
    theirs = torchvision.build(msgspec.structs.replace(ours.request, cell=cell, model=model))
    expected = np.moveaxis(theirs.normalise(digits.test.images[:8]), 1, -1)
    found = ours.normalise(digits.test.images[:8])
    if architecture:
        found = ops.convert_to_numpy(ours.network.layers[1](found))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    first, same, other = (classifier(trial(seed=seed).network).kernel for seed in (3, 3, 4))
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (first, same)))
    assert not np.array_equal(*map(ops.convert_to_numpy, (first, other)))


def test_a_new_classifier_and_batch_normalisation_are_the_recipes():
    one = trial()
    assert float(np.std(ops.convert_to_numpy(classifier(one.network).kernel))) == pytest.approx(0.01, rel=0.25)
    norms = [layer for layer in leaves(one.network) if isinstance(layer, keras.layers.BatchNormalization)]
    assert {round(layer.momentum, 9) for layer in norms} == {0.9}


def test_weights_from_a_file_are_those_in_it(tmp_path: Path):
    trained = trial(seed=5)
    file = tmp_path / "mine.weights.h5"
    trained.network.save_weights(file)
    loaded = trial(weights=str(file))
    for here, there in zip(loaded.network.get_weights(), trained.network.get_weights(), strict=True):
        np.testing.assert_array_equal(here, there)
    assert loaded.in_force()["weights"] == file.name
    with pytest.raises(JobError, match="does not fit this model"):
        trial("mobilenet_v3_small", weights=str(file))
    with pytest.raises(Unavailable, match="no such checkpoint"):
        trial(weights="nowhere.weights.h5")


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_a_classifier_of_another_number_of_classes_or_before_a_head_phase_is_new(suffix: str, tmp_path: Path):
    trained = trial(seed=5)
    head = classifier(trained.network)
    head.kernel.assign(np.full(head.kernel.shape, 7))
    file = tmp_path / f"mine.{suffix}"
    trained.save(file) if suffix == "keras" else trained.network.save_weights(file)
    before = {"head_epochs": 1, "head_learning_rate": 0.003}
    for changes, std in (({"classes": 7}, 0.01), (before, 0.01), (before | {"classifier_init_std": None}, 0.2)):
        one = trial(weights=str(file), **changes)
        for here, there in zip(one.network.get_weights()[:-2], trained.network.get_weights()[:-2], strict=True):
            np.testing.assert_array_equal(here, there)
        kernel = ops.convert_to_numpy(classifier(one.network).kernel)
        assert kernel.shape == (16, changes.get("classes", 10))
        assert float(np.std(kernel)) == pytest.approx(std, rel=0.5)
    kept = classifier(trial(weights=str(file)).network).kernel
    np.testing.assert_array_equal(ops.convert_to_numpy(kept), np.full(kept.shape, 7))


def test_published_weights_come_from_the_cache_and_get_a_new_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def offline(*arguments: object, **options: object) -> None:
        raise Exception("URL fetch failure on https://example.org/models/weights.h5: None -- no network")

    module = "keras.src.applications.mobilenet_v3.file_utils.get_file"
    monkeypatch.setattr(module, offline)
    with pytest.raises(Unavailable, match=r"not cached and cannot be downloaded; put weights\.h5 into"):
        trial("mobilenet_v3_small", weights="pretrained")
    published = trial("mobilenet_v3_small", classes=1000, seed=9, image_size=224).network
    file = tmp_path / "published.weights.h5"
    published.save_weights(file)
    monkeypatch.setattr(module, lambda *arguments, **options: str(file))
    one = trial("mobilenet_v3_small", weights="pretrained")
    first = one.network.layers[1].weights[0]
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (first, published.layers[1].weights[0])))
    assert classifier(one.network).kernel.shape[-1] == 10
    assert one.normalise(np.array([[[[0, 128, 255]]]], np.uint8)).ravel() == pytest.approx([-1, 0.0039, 1], abs=1e-3)


@pytest.mark.skipif(FRAMEWORK != "keras-tensorflow", reason="the same code on every backend; compiling takes a while")
def test_published_efficientnet_answers_as_keras_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Dataset
):
    """With ImageNet's weights Keras normalises inside the network; here the card's pixels must do the same.

    The published file holds ImageNet's mean, and for a variance its deviation: Keras divides by that one's root twice.
    """
    plain = keras.applications.EfficientNetB0(weights=None, classifier_activation=None)
    initialise_classifier(plain, std=10.0)  # So that no tolerance hides what other pixels would give.
    file = tmp_path / "published.weights.h5"
    plain.save_weights(file)
    monkeypatch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *a, **k: str(file))
    monkeypatch.setattr(keras.Model, "load_weights", lambda network, path, **k: copy_weights(plain, network))
    published = keras.applications.EfficientNetB0(weights="imagenet", classifier_activation=None)
    (inside,) = (layer for layer in published.layers if isinstance(layer, keras.layers.Normalization))
    inside.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
    inside.finalize_state()
    one = trial("efficientnet_b0", weights="pretrained", classes=1000, image_size=224)
    images = read_dataset("digits", 224).test.images[:4]
    placed = one.place(images, np.zeros(4, np.int64))
    expected = ops.convert_to_numpy(published(images, training=False))
    error = np.abs(ops.convert_to_numpy(one.predict(placed)) - expected).max()
    assert error < 1e-3 * np.abs(expected).max()
    one.normalisation = Normalisation(IMAGENET)
    other = ops.convert_to_numpy(one.predict(one.place(images, np.zeros(4, np.int64))))
    assert np.abs(other - expected).max() > 1e-2 * np.abs(expected).max(), "other pixels must be seen"


def test_blue_first_turns_the_channels_round():
    normalise = Normalisation(Pixels(mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 1.0), order="bgr"))
    pixels = normalise(np.array([[[[10, 20, 30]]]], np.uint8))
    assert ops.convert_to_numpy(pixels).ravel().tolist() == [29, 18, 7]


def test_a_model_that_keras_lacks_is_unsupported():
    asked = trial().request
    wanted = msgspec.structs.replace(asked, model=msgspec.structs.replace(asked.model, model="ResNet51"))
    with pytest.raises(Unsupported, match="ResNet51"):
        build(wanted)


def test_no_gpu_is_unavailable_with_the_remedy():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Unavailable, match="--device cpu"):
        trial(device="cuda")


# Without what is drawn at random. At odd sizes Keras pads a strided convolution as torchvision does.
SAME_NETWORK = {
    "convnext_tiny": (32, {"stochastic_depth_prob": 0.0}, {}),
    "mobilenet_v3_small": (33, {"dropout": 0.0}, {"dropout_rate": 0.0}),
}


@pytest.mark.parametrize("architecture", SAME_NETWORK)
def test_it_is_torchvisions_network_logit_for_logit_and_step_for_step(architecture: str):
    """What keeps the other architectures' networks apart `bench doctor --parity` and the cards say."""
    if architecture == "convnext_tiny" and FRAMEWORK != "keras-torch":
        pytest.skip("compiling takes most of a minute")
    from carry import carry

    from bench.frameworks import torchvision

    size, there, here = SAME_NETWORK[architecture]
    ours = trial(architecture, image_size=size, arguments=here)
    model = framework_model(architecture, "torchvision")
    assert model is not None
    cell = msgspec.structs.replace(ours.request.cell, framework="torchvision", execution="eager")
    model = msgspec.structs.replace(model, arguments=model.arguments | there)
    theirs = torchvision.build(msgspec.structs.replace(ours.request, cell=cell, model=model))
    carry(theirs.module, ours.network)
    split = read_dataset("digits", size).training
    batches = [
        [one.place(split.images[i : i + 8], split.labels[i : i + 8]) for one in (ours, theirs)] for i in (0, 8, 16)
    ]
    answers = ops.convert_to_numpy(ours.predict(batches[0][0])), theirs.predict(batches[0][1]).numpy()
    np.testing.assert_allclose(*answers, atol=1e-4)
    steps = [batches[step % 3] for step in range(20)]
    losses = [[one.loss(one.train_step(batch[side])) for batch in steps] for side, one in enumerate((ours, theirs))]
    np.testing.assert_allclose(*losses, rtol=0.01)
    assert losses[0][-1] < losses[0][0]
