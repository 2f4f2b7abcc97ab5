"""Keras on TensorFlow: what Keras leaves to its backend."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from bench.data.dataset import Split
from bench.errors import Unavailable
from bench.frameworks.keras_fit import STEP_LOSS
from bench.frameworks.trial import PeakMemory, Request

if TYPE_CHECKING:
    from bench.frameworks.keras import Batch, KerasTrial


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
        tf.config.set_visible_devices([chosen], "GPU")
        tf.config.experimental.set_memory_growth(chosen, True)
    tf.config.experimental.enable_tensor_float_32_execution(request.cell.precision == "tf32")


def in_force() -> dict[str, str | int | float | bool | None]:
    return {
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
    }


class TensorFlowSteps:
    """The functions that `fit` and `predict` call for each batch; `train_on_batch` would bring the logs to the host."""

    def __init__(self, network: keras.Model) -> None:
        self.network = network

    def train(self, batch: "Batch") -> Any:
        if self.network.train_function is None:
            return self.network.train_on_batch(*batch, return_dict=True)[STEP_LOSS]
        return self.network.train_function(iter(((*batch, None),)))[STEP_LOSS]

    def predict(self, images: Any) -> Any:
        self.network.make_predict_function()
        return self.network.predict_function([(images,)])

    def settle(self) -> None:
        """TensorFlow's variables are always up to date."""

    def synchronize(self) -> None:
        tf.test.experimental.sync_devices()


def steps(network: keras.Model, execution: str) -> TensorFlowSteps:
    return TensorFlowSteps(network)


def put(array: np.ndarray[Any, Any]) -> Any:
    return tf.convert_to_tensor(array)


def batches(trial: "KerasTrial", split: Split, seed: int) -> Any:
    """Return a tf.data.Dataset that reads in parallel, shifts and normalises in TensorFlow, and stays ahead of the training."""
    size, pixels = trial.batch_size, trial.request.cell.image_size
    eye = np.eye(trial.request.classes, dtype=np.float32)
    crop = _random_crop(pixels, trial.request.recipe.crop_padding, seed)

    def read(chosen: Any) -> Any:
        return split.batch(chosen), eye[split.labels[chosen]]

    def finish(chosen: Any) -> Any:
        images, labels = tf.numpy_function(read, [chosen], (tf.uint8, tf.float32), stateful=False)
        images = tf.ensure_shape(images, (size, pixels, pixels, 3))
        labels = tf.ensure_shape(labels, (size, trial.request.classes))
        return trial.pixels(crop(images)), labels

    order = tf.data.Dataset.range(len(split)).shuffle(len(split), seed=seed)
    return (
        order.batch(size, drop_remainder=True)
        .map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _random_crop(size: int, share: float, seed: int) -> Any:
    """Return a shift by whole pixels, each as likely as torchvision's RandomCrop with padding has it."""
    padding = round(size * share)
    if not padding:
        return lambda images: images
    factor = (padding + 0.5) / size
    with tf.device("/CPU:0"):  # Where tf.data runs it.
        layer = keras.layers.RandomTranslation(
            factor, factor, fill_mode="constant", interpolation="nearest", seed=seed, dtype="float32"
        )
    return lambda images: layer(images, training=True)


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
