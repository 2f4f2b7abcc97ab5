"""Keras on TensorFlow: what Keras leaves to its backend."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np
import tensorflow as tf

from bench.data.dataset import Split
from bench.errors import JobError, Unavailable
from bench.frameworks import keras_augment
from bench.frameworks.keras_steps import Batch, FunctionSteps, batch_loss, held_values
from bench.frameworks.trial import PeakMemory, Request, refuse_older_gpu

if TYPE_CHECKING:
    from bench.frameworks.keras import KerasTrial


def prepare(request: Request) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(request.threads)
    tf.config.threading.set_inter_op_parallelism_threads(request.threads)
    gpus = tf.config.list_physical_devices("GPU")
    if request.cell.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not gpus:
        raise Unavailable("TensorFlow sees no GPU: pip install 'tensorflow[and-cuda]', or measure with --device cpu")
    else:
        chosen = gpus[int(request.cell.device.partition(":")[2] or 0)]
        details = tf.config.experimental.get_device_details(chosen)
        refuse_older_gpu(request.cell.precision, details["compute_capability"], details["device_name"])
        tf.config.set_visible_devices([chosen], "GPU")
        tf.config.experimental.set_memory_growth(chosen, True)
    tf.config.experimental.enable_tensor_float_32_execution(request.cell.precision == "tf32")


def in_force() -> dict[str, str | int | float | bool | None]:
    return {
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    }


def steps(network: keras.Model, execution: str) -> FunctionSteps:
    return FunctionSteps(network, tf.test.experimental.sync_devices)


def put(array: np.ndarray[Any, Any]) -> Any:
    return tf.convert_to_tensor(array)


def batches(trial: "KerasTrial", split: Split, seed: int) -> Iterator[Batch]:
    """Yield from a tf.data.Dataset that reads in parallel, augments and normalises on the CPU, and stays ahead of training."""
    workers = trial.request.recipe.loader_workers
    order = tf.data.Dataset.range(len(split)).shuffle(len(split), seed=seed)
    (read, failed), seeded = _reader(trial, split), tf.constant(seed, tf.int64)
    ready = order.batch(trial.batch_size, drop_remainder=True).map(
        lambda chosen: read(chosen, seeded),
        num_parallel_calls=tf.data.AUTOTUNE if workers is None else workers or None,  # None: one after the other.
    )
    for batch in ready.prefetch(tf.data.AUTOTUNE):
        if failed:
            raise failed[0]
        yield batch


@cache
def _reader(trial: "KerasTrial", split: Split) -> tuple[Callable[[Any, Any], Any], list[JobError]]:
    """Return a graph from the numbers of a batch's images and a seed to its pixels and labels, and a list that takes what is
    wrong with an image: whatever is raised in a graph, TensorFlow prints with its traceback, and raises an error of its own.

    It is traced once a split, not once an epoch, as a data set that is made once and repeated is.
    """
    size, pixels, recipe = trial.batch_size, trial.request.cell.image_size, trial.request.recipe
    padding = round(pixels * recipe.crop_padding)
    augmentation = trial.augmentation
    failed: list[JobError] = []

    def read(chosen: Any, seed: Any) -> Any:
        try:
            images = keras_augment.read(split, trial.request, chosen, np.random.default_rng((seed, chosen[0])))
        except JobError as error:
            failed.append(error)
            images = np.zeros((size, pixels, pixels, 3), np.uint8)
        return images, trial.shares(split.labels[chosen])

    def finish(chosen: Any, seed: Any) -> Any:
        images, labels = tf.numpy_function(read, [chosen, seed], (tf.uint8, tf.float32), stateful=False)
        images = tf.ensure_shape(images, (size, pixels, pixels, 3))
        labels = tf.ensure_shape(labels, (size, trial.request.classes))
        return augmentation(_cropped(images, chosen, padding, seed) if padding else images, labels, chosen, seed)

    return cast(Callable[[Any, Any], Any], tf.function(finish)), failed


def _cropped(images: Any, numbers: Any, padding: int, seed: Any) -> Any:
    """Return images shifted at random by up to `padding` pixels each way, black where nothing was.

    Each image's shift hangs on the seed and its number alone: batches are read in parallel, in any order.
    """

    def crop(image_and_number: Any) -> Any:
        image, number = image_and_number
        return tf.image.stateless_random_crop(image, images.shape[1:], seed=tf.stack([seed, number]))

    padded = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return tf.map_fn(crop, (padded, numbers), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def gradients(network: keras.Model, batch: Batch) -> list[Any]:
    trained, rest = ([tf.convert_to_tensor(one) for one in group] for group in held_values(network))
    with tf.GradientTape() as tape:
        tape.watch(trained)
        loss = batch_loss(network, trained, rest, batch)
    found: list[Any] = tape.gradient(loss, trained)
    return found


def compile_seconds() -> float | None:
    """TensorFlow does not say what tracing took; the first step holds it."""
    return None


def reset_peak_memory() -> None:
    for device in tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats(device.name.removeprefix("/device:"))


def peak_memory() -> PeakMemory:
    gpus = tf.config.list_logical_devices("GPU")
    peaks = [tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"] for gpu in gpus]
    return PeakMemory(allocated_bytes=peaks[0] if peaks else None, reserved_bytes=None)
