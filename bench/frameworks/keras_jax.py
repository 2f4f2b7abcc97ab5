"""Keras on JAX: what Keras leaves to its backend."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Split
from bench.errors import Unavailable
from bench.frameworks import keras_augment
from bench.frameworks.keras_steps import STEP_LOSS, Batch, batch_loss, first_step, held_values
from bench.frameworks.trial import Images, Labels, PeakMemory, Request, refuse_older_gpu
from bench.records.environment import one_cpu_a_core

if TYPE_CHECKING:
    from bench.frameworks.keras import KerasTrial

_COMPILED: list[float] = []


def prepare(request: Request) -> None:
    """Choose the device; on a CPU, XLA takes a thread for each core the process may use, so the cores are limited."""
    cell = request.cell
    if cell.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        os.sched_setaffinity(0, one_cpu_a_core()[: request.threads])
    else:
        try:
            gpus = jax.devices("gpu")
        except RuntimeError:
            raise Unavailable("JAX sees no GPU: pip install 'jax[cuda13]', or measure with --device cpu") from None
        chosen = gpus[int(cell.device.partition(":")[2] or 0)]
        major, minor = chosen.compute_capability.split(".")
        refuse_older_gpu(cell.precision, (int(major), int(minor)), chosen.device_kind)
        jax.config.update("jax_default_device", chosen)
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if cell.precision == "tf32" else "highest")
    jax.config.update("jax_enable_compilation_cache", False)
    # Until the network is built: each variable's first values are a program of their own, compiled to run once.
    jax.config.update("jax_disable_most_optimizations", True)
    jax.monitoring.register_event_duration_secs_listener(_note)


def _note(event: str, duration_secs: float, **_: Any) -> None:
    if event.startswith("/jax/core/compile/"):
        _COMPILED.append(duration_secs)


def in_force() -> dict[str, str | int | float | bool | None]:
    return {
        "matmul_precision": jax.config.values["jax_default_matmul_precision"],
        "device": str(_device()),
        "threads": len(os.sched_getaffinity(0)),
    }


def _device() -> Any:
    """Return the device that arrays are put on."""
    return jax.config.values["jax_default_device"] or jax.devices()[0]


class JaxSteps:
    """The compiled step that `fit` calls for each batch, its state carried from one to the next as `fit` does."""

    def __init__(self, network: keras.Model, execution: str) -> None:
        self.network = network
        forward = lambda trained, rest, images: network.stateless_call(trained, rest, images, training=False)[0]  # noqa: E731
        self.forward: Callable[..., Any] = jax.jit(forward) if execution == "compiled" else forward
        self.state: tuple[list[Any], ...] | None = None
        self.values: tuple[list[Any], ...] | None = None  # The network's own: collecting them takes a while.
        self.last: Any = None
        # On a CPU what makes the next batch would wait behind the queued steps, and be told as waiting for data.
        self.waits = _device().platform == "cpu"

    def train(self, batch: Batch) -> Any:
        self.values = None
        if self.network.train_function is None:
            return first_step(self.network, batch)
        if self.state is None:
            self.state = tuple([variable.value for variable in group] for group in self._groups())
        logs, self.state = self.network.train_function(self.state, iter(((*batch, None),)))
        self.last = self.state
        if self.waits:
            self.synchronize()
        return logs[STEP_LOSS]

    def predict(self, images: Any) -> Any:
        if self.values is None:
            self.values = self.state[:2] if self.state is not None else held_values(self.network)
        self.last = self.forward(*self.values, images)
        return self.last

    def settle(self) -> None:
        self.values = None
        if self.state is None:
            return
        for group, values in zip(self._groups(), self.state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        self.state = None

    def synchronize(self) -> None:
        jax.block_until_ready(self.last)

    def _groups(self) -> tuple[list[Any], ...]:
        network = self.network
        return (
            network.trainable_variables,
            network.non_trainable_variables,
            network.optimizer.variables,
            network.metrics_variables,
        )


def steps(network: keras.Model, execution: str) -> JaxSteps:
    _COMPILED.clear()  # What drew the first values is part of the build.
    jax.config.update("jax_disable_most_optimizations", False)
    return JaxSteps(network, execution)


def put(array: np.ndarray[Any, Any]) -> Any:
    return jax.device_put(array)


def batches(trial: "KerasTrial", split: Split, seed: int) -> Iterator[Batch]:
    """Yield batches read and cropped in threads that stay ahead of the training, augmented and normalised on the device."""
    recipe, size = trial.request.recipe, trial.batch_size
    order = np.random.default_rng(seed).permutation(len(split))
    padding = round(trial.request.cell.image_size * recipe.crop_padding)
    threads = len(os.sched_getaffinity(0)) if recipe.loader_workers is None else recipe.loader_workers
    finish = _finish(trial)

    def read(number: int) -> tuple[Images, NDArray[np.int64]]:
        chosen, random = order[number * size : (number + 1) * size], np.random.default_rng((seed, number))
        return _cropped(keras_augment.read(split, trial.request, chosen, random), padding, random), chosen

    def finished(images: Images, chosen: NDArray[np.int64]) -> Batch:
        return finish(images, split.labels[chosen], chosen, seed)

    with ThreadPoolExecutor(max(1, threads)) as pool:  # Of none, one reads, and never ahead.
        waiting: deque[Future[tuple[Images, NDArray[np.int64]]]] = deque()
        for number in range(len(split) // size):
            waiting.append(pool.submit(read, number))
            if len(waiting) > threads:
                yield finished(*waiting.popleft().result())
        while waiting:
            yield finished(*waiting.popleft().result())


@cache
def _finish(trial: "KerasTrial") -> Callable[[Images, Labels, NDArray[np.int64], int], Batch]:
    """Return what makes a placed batch of images, their labels, their numbers and a seed; compiled, once a trial."""
    if not trial.augmentation:
        return lambda images, labels, numbers, seed: trial.place(images, labels)
    augment = jax.jit(trial.augmentation)
    return lambda images, labels, numbers, seed: augment(
        put(images), put(trial.shares(labels)), numbers.astype(np.uint32), np.uint32(seed % 2**32)
    )


def _cropped(images: Images, padding: int, random: np.random.Generator) -> Images:
    """Return images shifted at random by up to `padding` pixels each way, black where nothing was."""
    if not padding:
        return images
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    shifts = random.integers(0, 2 * padding + 1, (len(images), 2))
    return np.stack([image[y : y + size, x : x + size] for image, (y, x) in zip(padded, shifts, strict=True)])


def gradients(network: keras.Model, batch: Batch) -> list[Any]:
    trained, rest = held_values(network)
    gradient = jax.jit(jax.grad(lambda trained: batch_loss(network, trained, rest, batch)))
    found: list[Any] = gradient(trained)
    return found


def compile_seconds() -> float | None:
    return sum(_COMPILED)


def reset_peak_memory() -> None:
    """XLA's allocator has no way to forget its peak: forward comes first, so that the training's is the larger."""


def peak_memory() -> PeakMemory:
    counted = _device().memory_stats()
    return PeakMemory(
        allocated_bytes=counted["peak_bytes_in_use"] if counted else None,
        reserved_bytes=counted.get("peak_pool_bytes") if counted else None,
    )
