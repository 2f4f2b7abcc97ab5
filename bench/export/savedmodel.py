"""SavedModel, run by TensorFlow's own loader on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.export import Exporter

RUNTIME = "TensorFlow, CPU"
PACKAGES = ("tensorflow",)
SUFFIX = ""


def _from_keras(model: Any, example: Any, artifact: Path) -> str:
    """Export the forward pass through Keras, with a dynamic batch."""
    model.export(artifact, format="tf_saved_model", verbose=False, input_signature=[example])
    return "keras.Model.export, dynamic batch"


EXPORTERS = {"keras-jax": Exporter(_from_keras), "keras-tensorflow": Exporter(_from_keras)}


def load(artifact: Path, threads: int) -> Any:
    """Return a function from pixels, float32 in [n, height, width, 3], to logits, float32 in [n, classes].

    TensorFlow takes its threads once a process, so they are those that the job began with.
    """
    import tensorflow as tf

    with tf.device("/CPU:0"):
        module = tf.saved_model.load(artifact)

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with tf.device("/CPU:0"):
            logits: NDArray[np.float32] = module.serve(pixels).numpy()
        return logits

    return run
