"""Keras 3 on TensorFlow, JAX and PyTorch: one trial. What only a backend can do stands in its own `keras_*` file."""

import importlib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import keras
import numpy as np
from keras import ops

from bench.data.dataset import Split
from bench.errors import JobError, Unavailable, Unsupported
from bench.frameworks import keras_fit, keras_network
from bench.frameworks.keras_steps import Batch, Steps
from bench.frameworks.pixels import IMAGENET, black_and_white
from bench.frameworks.trial import Epoch, Floats, Images, Labels, LayerSettings, PeakMemory, Request, Source, once
from bench.plan.cards import Pixels

catalogue = keras_network.catalogue
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
        """Yield placed, shuffled and cropped batches, once; a last partial one is dropped."""

    def compile_seconds(self) -> float | None: ...

    def reset_peak_memory(self) -> None: ...

    def peak_memory(self) -> PeakMemory: ...


class KerasTrial:
    """A network of Keras Applications at one precision on one device, compiled by the recipe."""

    def __init__(
        self, network: keras.Model, request: Request, backend: Backend, weights: str, pixels: "Normalisation"
    ) -> None:
        recipe = request.recipe
        self.request = request
        self.network = network
        self.backend = backend
        self.weights = weights
        self.pixels = pixels
        if recipe.batch_norm_momentum is not None:
            keras_network.set_batch_norm_momentum(network, recipe.batch_norm_momentum)
        keras_fit.compile_for_training(network, recipe, request.cell.execution)
        self.steps = backend.steps(network, request.cell.execution)
        self.trained_steps = 0

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
            **self.backend.in_force(),
        }

    def parameters(self) -> int:
        return int(sum(np.prod(variable.shape) for variable in self.network.trainable_variables))

    def flops(self) -> int | None:
        return keras_network.flops(self.network)

    def settings(self) -> LayerSettings:
        layers = list(keras_network.leaves(self.network))
        norms: list[Any] = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
        rates = [getattr(layer, name, None) for layer in layers for name in ("rate", "drop_path_rate")]
        published = self.request.model.pixels
        return LayerSettings(
            outputs=self.network.output_shape[-1],
            batch_norm_epsilon=once(norm.epsilon for norm in norms),
            batch_norm_momentum=once(1 - norm.momentum for norm in norms),
            dropout=max((rate for rate in rates if isinstance(rate, float)), default=0.0),
            published_pixels=black_and_white(published) if published else (),
        )

    def place(self, images: Images, labels: Labels) -> Batch:
        one_hot = np.eye(self.request.classes, dtype=np.float32)[labels]
        return self.pixels(self.backend.put(images)), self.backend.put(one_hot)

    def train_step(self, batch: Batch) -> Any:
        self._refuse_what_cannot_train()
        self.trained_steps += 1
        return self.steps.train(batch)

    def loss(self, handle: Any) -> float:
        return float(ops.convert_to_numpy(handle))

    def predict(self, batch: Batch) -> Any:
        return self.steps.predict(batch[0])

    def logits(self, split: Split) -> Floats:
        size, found = self.batch_size, []
        for start in range(0, len(split), size):
            chosen = np.arange(start, min(start + size, len(split)))
            filled = np.pad(chosen, (0, size - len(chosen)), mode="edge")  # Another shape would be compiled once more.
            batch = self.place(split.batch(filled), split.labels[filled])
            found.append(ops.convert_to_numpy(ops.cast(self.predict(batch), "float32"))[: len(chosen)])
        return np.concatenate(found)

    def synchronize(self) -> None:
        self.steps.synchronize()

    def loader(self, split: Split, seed: int) -> Iterator[Batch]:
        yield from self.backend.batches(self, split, seed)

    def fit(self, training: Split, validation: Split, epoch_done: Callable[[Epoch], bool]) -> None:
        self._refuse_what_cannot_train()
        keras_fit.fit(self, training, validation, epoch_done)
        self.trained_steps = self.request.recipe.epochs * (len(training) // self.batch_size)

    def skipped_steps(self) -> int | None:
        """Return the steps taken less those the wrapped optimizer saw: a loss that overflowed does not reach it."""
        optimizer = self.network.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        self.steps.settle()
        return self.trained_steps - int(ops.convert_to_numpy(optimizer.inner_optimizer.iterations))

    def compile_seconds(self) -> float | None:
        return self.backend.compile_seconds()

    def source(self) -> Source:
        cell = self.request.cell
        if cell.precision != "fp32":
            raise Unsupported(f"exports are made from fp32 models, not from {cell.precision}")
        self.steps.settle()
        example = keras.InputSpec(dtype="float32", shape=(None, cell.image_size, cell.image_size, 3), name="pixels")
        return Source(kind=cell.framework, model=self.network, example=example)

    def normalise(self, images: Images) -> Floats:
        placed, _ = self.place(images, np.zeros(len(images), np.int64))
        normalised: Floats = ops.convert_to_numpy(placed)
        return normalised

    def reset_peak_memory(self) -> None:
        self.backend.reset_peak_memory()

    def peak_memory(self) -> PeakMemory:
        return self.backend.peak_memory()

    def _refuse_what_cannot_train(self) -> None:
        if self.request.cell.precision == "bf16" and self.request.recipe.optimizer == "adamw":
            raise Unsupported(
                "Keras's AdamW computes in the weights' type: in bfloat16 its second beta, 0.999, is 1, and no weight ever moves"
            )

    @property
    def batch_size(self) -> int:
        size = self.request.cell.batch_size
        assert isinstance(size, int), "the runner resolves an automatic batch size before a trial is built"
        return size


class Normalisation:
    """From uint8 pixels in [n, height, width, 3], red first, to the float32 that a network takes; on any backend.

    `scale` is what the network itself divides by.
    """

    def __init__(self, pixels: Pixels, scale: float = 1.0) -> None:
        self.mean = np.array(pixels.mean, np.float32)
        self.std = np.array(pixels.std, np.float32) / np.float32(scale)
        self.blue_first = pixels.order == "bgr"

    def __call__(self, images: Any) -> Any:
        pixels = ops.cast(images, "float32")
        if self.blue_first:
            pixels = ops.flip(pixels, axis=-1)
        return ops.divide(ops.subtract(pixels, self.mean), self.std)


def build(request: Request) -> KerasTrial:
    """Build a model of Keras Applications; raise `Unavailable` where its weights cannot be had."""
    backend = cast(Backend, importlib.import_module(_BACKENDS[keras.backend.backend()]))
    backend.prepare(request)
    random.seed(request.seed)  # Keras draws its own seeds from there; its set_random_seed would import TensorFlow.
    keras.config.set_dtype_policy(keras_network.POLICIES[request.cell.precision])
    held, model = request.cell.weights, request.model
    network = keras_network.build(request, None)
    new_classifier, pixels = True, Normalisation(IMAGENET, model.input_scale)
    if held == "pretrained":
        new_classifier = bool(keras_network.copy_weights(_pretrained(request), network))
        assert model.pixels is not None, "a card that names Keras weights says what pixels they were trained on"
        pixels = Normalisation(model.pixels)
    elif held != "random":
        _load(network, Path(held))
        new_classifier = False
    if new_classifier and request.recipe.classifier_init_std is not None:
        keras_network.initialise_classifier(network, request.recipe.classifier_init_std)
    return KerasTrial(network, request, backend, Path(held).name, pixels)


def _pretrained(request: Request) -> keras.Model:
    try:
        return keras_network.build(request, "imagenet")
    except Exception as error:  # get_file raises a bare Exception for a fetch that failed.
        if "URL fetch failure" not in str(error):
            raise
        address = re.search(r"https?://\S+/([^/\s:]+)", str(error))
        file = address[1] if address else "the file"
        raise Unavailable(
            f"{request.model.model}: ImageNet weights are not cached and cannot be downloaded; put {file} into "
            "~/.keras/models"
        ) from None


def _load(network: keras.Model, file: Path) -> None:
    if not file.is_file():
        raise Unavailable(f"{file}: no such checkpoint")
    try:
        network.load_weights(file)
    except (ValueError, OSError) as error:
        raise JobError(f"{file}: does not fit this model: {str(error).splitlines()[0]}") from None
