"""Keras 3 on TensorFlow, JAX and PyTorch: one trial. What only a backend can do stands in its own `keras_*` file."""

import importlib
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import keras
import numpy as np
from keras import ops

from bench.data.dataset import Split
from bench.errors import Unsupported
from bench.frameworks import keras_network, keras_optimization
from bench.frameworks.keras_augment import Augmentation
from bench.frameworks.keras_network import Normalisation
from bench.frameworks.keras_steps import Batch, Steps, build_optimizer
from bench.frameworks.pixels import IMAGENET, black_and_white
from bench.frameworks.trial import Floats, Images, Labels, LayerSettings, PeakMemory, Request, Source, once
from bench.plan.cards import Pixels
from bench.plan.recipe import Phase

catalogue = keras_network.catalogue
_STATE = "state.npz"
_BACKENDS = {
    "tensorflow": "bench.frameworks.keras_tensorflow",
    "jax": "bench.frameworks.keras_jax",
    "torch": "bench.frameworks.keras_torch",
}


class Backend(Protocol):
    """A module of this folder, one a backend."""

    def prepare(self, request: Request) -> None:
        """Set what is global: device, threads, TF32, memory growth. Raise `Unavailable` for a device that is not there."""

    def in_force(self) -> dict[str, str | int | float | bool | None]: ...

    def steps(self, network: keras.Model, execution: str) -> Steps: ...

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        """Return the array on the device."""

    def batches(self, trial: "KerasTrial", split: Split, seed: int) -> Iterator[Batch]:
        """Yield placed, shuffled and augmented batches, once; a last partial one is dropped."""

    def gradients(self, network: keras.Model, batch: Batch) -> list[Any]:
        """Return the gradients of a batch's loss for the weights that train, None where there is none; nothing changes."""

    def compile_seconds(self) -> float | None: ...

    def reset_peak_memory(self) -> None: ...

    def peak_memory(self) -> PeakMemory: ...


class KerasTrial:
    """A network of Keras Applications at one precision on one device, compiled by the recipe."""

    def __init__(self, network: keras.Model, request: Request, backend: Backend, weights: str, pixels: Pixels) -> None:
        recipe = request.recipe
        self.request = request
        self.network = network
        self.backend = backend
        self.weights = weights
        self.normalisation = Normalisation(pixels)
        if recipe.batch_norm_momentum is not None:
            keras_network.set_batch_norm_momentum(network, recipe.batch_norm_momentum)
        # Before any are frozen.
        self.parameter_count = int(sum(np.prod(variable.shape) for variable in network.trainable_variables))
        keras_optimization.compile_for_training(network, request)
        self.steps = backend.steps(network, request.cell.execution)
        self.trained_batches = 0
        self.skipped_before = 0

    def in_force(self) -> dict[str, str | int | float | bool | None]:
        optimizer = self.network.optimizer
        return {
            "weights": self.weights,
            "backend": keras.backend.backend(),
            "policy": keras.config.dtype_policy().name,
            "parameter_type": str(self.network.trainable_variables[0].dtype),
            "compute_type": keras_network.classifier(self.network).compute_dtype,
            "loss_scaling": isinstance(optimizer, keras.optimizers.LossScaleOptimizer),
            "layout": keras.config.image_data_format(),
            "optimizer": type(optimizer).__name__,
            "run_eagerly": self.network.run_eagerly,
            "jit_compile": self.network.jit_compile,
            "resumes": "bit for bit"
            if self.request.cell.device == "cpu"
            else "within rounding: its libraries choose algorithms anew",
            **self.backend.in_force(),
        }

    def parameters(self) -> int:
        return self.parameter_count

    def flops(self) -> int | None:
        return keras_network.flops(self.network)

    def settings(self) -> LayerSettings:
        layers = list(keras_network.leaves(self.network))
        norms = list(keras_network.batch_norms(self.network))
        rates = [getattr(layer, name, None) for layer in layers for name in ("rate", "drop_path_rate")]
        published = self.request.model.pixels
        return LayerSettings(
            outputs=self.network.output_shape[-1],
            batch_norm_epsilon=once(norm.epsilon for norm in norms),
            batch_norm_momentum=once(1 - norm.momentum for norm in norms),
            dropout=max((rate for rate in rates if isinstance(rate, float)), default=0.0),
            published_pixels=black_and_white(published) if published else (),
        )

    def pixels(self) -> Pixels:
        return self.normalisation.pixels

    def shares(self, labels: Labels) -> Floats:
        """Return what the loss takes: of each class its share in an image's label, in [n, classes]."""
        if self.request.recipe.several_labels:
            return labels.astype(np.float32)
        one_hot: Floats = np.eye(self.request.classes, dtype=np.float32)[labels]
        return one_hot

    def place(self, images: Images, labels: Labels) -> Batch:
        return self.normalisation(self.backend.put(images)), self.backend.put(self.shares(labels))

    def begin(self, phase: Phase) -> None:
        self.skipped_before = self._skipped()
        self.trained_batches = 0
        keras_optimization.compile_for_training(self.network, self.request, phase)

    def train_step(self, batch: Batch) -> Any:
        self._refuse_what_cannot_train()
        self.trained_batches += 1
        return self.steps.train(batch)

    def loss(self, handle: Any) -> float:
        return float(ops.convert_to_numpy(handle))

    def predict(self, batch: Batch) -> Any:
        return self.steps.predict(batch[0])

    def logits(self, split: Split) -> Floats:
        size, found = self.batch_size, []
        with self._answering():
            for start in range(0, len(split), size):
                chosen = np.arange(start, min(start + size, len(split)))
                filled = np.pad(
                    chosen, (0, size - len(chosen)), mode="edge"
                )  # Another shape would be compiled once more.
                batch = self.place(split.batch(filled), split.labels[filled])
                found.append(ops.convert_to_numpy(ops.cast(self.predict(batch), "float32"))[: len(chosen)])
        return np.concatenate(found)

    def synchronize(self) -> None:
        self.steps.synchronize()

    def loader(self, split: Split, seed: int) -> Iterator[Batch]:
        yield from self.backend.batches(self, split, seed)

    def snapshot(self) -> list[np.ndarray]:
        with self._answering():
            weights: list[np.ndarray] = self.network.get_weights()
        return weights

    def restore(self, snapshot: list[np.ndarray]) -> None:
        self.steps.settle()
        self.network.set_weights(snapshot)
        keras_optimization.average_anew(self.network)

    def save(self, file: Path) -> None:
        with (
            self._answering()
        ):  # A model that is not compiled, so that the file is read where nobody knows this package.
            keras.Model(self.network.input, self.network.output).save(file)

    def load(self, file: Path) -> None:
        self.steps.settle()
        with warnings.catch_warnings():
            # The file has no optimizer's values, and none are wanted.
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            self.network.load_weights(file)
        keras_optimization.average_anew(self.network)

    def save_state(self, folder: Path) -> None:
        self.steps.settle()
        build_optimizer(self.network)
        held = [variable.numpy() for variable in self._variables()]
        wide = [
            value.astype(np.float32) if value.dtype.name == "bfloat16" else value for value in held
        ]  # NumPy has none.
        np.savez(folder / _STATE, np.array([self.trained_batches, self.skipped_before]), *wide)

    def load_state(self, folder: Path) -> None:
        self.steps.settle()
        build_optimizer(self.network)
        with np.load(folder / _STATE) as held:
            counts, *values = [held[f"arr_{number}"] for number in range(len(held.files))]
        self.trained_batches, self.skipped_before = map(int, counts)
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)

    def gradients(self, batch: Batch) -> dict[str, float]:
        self.steps.settle()
        found = self.backend.gradients(self.network, batch)
        named = zip(self.network.trainable_variables, found, strict=True)
        return {variable.path: 0.0 if one is None else keras_optimization.norm(one) for variable, one in named}

    def skipped_steps(self) -> int | None:
        """Return the batches whose loss overflowed: Keras leaves out the batch, and takes its step with the next."""
        scaled = isinstance(self.network.optimizer, keras.optimizers.LossScaleOptimizer)
        return self.skipped_before + self._skipped() if scaled else None

    def compile_seconds(self) -> float | None:
        return self.backend.compile_seconds()

    def source(self) -> Source:
        cell = self.request.cell
        if cell.precision != "fp32":
            raise Unsupported(f"exports are made from fp32 models, not from {cell.precision}")
        weights = self.snapshot()
        # A copy on the CPU, of the weights that answer, wherever it was trained: where it runs is the format's affair.
        with keras.device("cpu"):
            model = keras_network.build(self.request, None)
            model.set_weights(weights)
        example = keras.InputSpec(dtype="float32", shape=(None, cell.image_size, cell.image_size, 3), name="pixels")
        return Source(kind=cell.framework, model=model, example=example)

    def normalise(self, images: Images) -> Floats:
        placed, _ = self.place(images, np.zeros(len(images), np.int64))
        normalised: Floats = ops.convert_to_numpy(placed)
        return normalised

    def reset_peak_memory(self) -> None:
        self.backend.reset_peak_memory()

    def peak_memory(self) -> PeakMemory:
        return self.backend.peak_memory()

    def _refuse_what_cannot_train(self) -> None:
        if self.request.cell.precision == "bf16" and self.request.recipe.optimizer != "sgd":
            raise Unsupported(
                "Keras's Adam computes in the weights' type: in bfloat16 its second beta, 0.999, is 1, and no weight ever moves"
            )

    @cached_property
    def augmentation(self) -> Augmentation:
        """The recipe's augmentation by Keras's layers; raises `Unsupported` for one that Keras lacks."""
        return Augmentation(self.request.recipe, self.request.cell.image_size, self.normalisation)

    def _skipped(self) -> int:
        self.steps.settle()
        return self.trained_batches - keras_optimization.batches_applied(self.network)

    def _variables(self) -> list[keras.Variable]:
        """Return all that changes in a step: weights, statistics, the states of random generators, the optimizer's own."""
        return [*self.network.variables, *self.network.optimizer.variables]

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Have the weights that are the result in the network for a while: the averaged ones, where there are any."""
        self.steps.settle()
        with keras_optimization.averaged(self.network):
            yield
        self.steps.settle()

    @property
    def batch_size(self) -> int:
        size = self.request.cell.batch_size
        assert isinstance(size, int), "the runner resolves an automatic batch size before a trial is built"
        return size


def build(request: Request) -> KerasTrial:
    """Build a model of Keras Applications; raise `Unavailable` where its weights cannot be had."""
    backend = cast(Backend, importlib.import_module(_BACKENDS[keras.backend.backend()]))
    backend.prepare(request)
    random.seed(request.seed)  # Keras draws its own seeds from there; its set_random_seed would import TensorFlow.
    keras.config.set_dtype_policy(keras_network.POLICIES[request.cell.precision])
    held, model = request.cell.weights, request.model
    network = keras_network.build(request, None)
    new_classifier, pixels = True, keras_network.scaled(IMAGENET, model.input_scale)
    first = keras_network.classifier(network).get_weights()
    if held == "pretrained":
        new_classifier = bool(keras_network.copy_weights(keras_network.pretrained(request), network))
        assert model.pixels is not None, "a card that names Keras weights says what pixels they were trained on"
        pixels = model.pixels
    elif held != "random":
        new_classifier = keras_network.load(network, Path(held))
    if request.recipe.head_epochs and not new_classifier:
        keras_network.classifier(network).set_weights(first)
        new_classifier = True
    if new_classifier and request.recipe.classifier_init_std is not None:
        keras_network.initialise_classifier(network, request.recipe.classifier_init_std)
    return KerasTrial(network, request, backend, Path(held).name, request.pixels or pixels)
