"""LiteRT, run by its interpreter with XNNPACK on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.export import Exporter

RUNTIME = "LiteRT, CPU"
PACKAGES = ("ai_edge_litert.interpreter",)
SUFFIX = ".tflite"


def _from_keras(model: Any, example: Any, artifact: Path) -> str:
    """Export in float32 for single images: XNNPACK does not take MobileNetV3's squeezes with a dynamic batch."""
    import keras

    single = keras.InputSpec(dtype=example.dtype, shape=(1, *example.shape[1:]), name=example.name)
    model.export(artifact, format="litert", verbose=False, input_signature=[single])
    return "keras.Model.export, float32, batch 1"


EXPORTERS = {"keras-tensorflow": Exporter(_from_keras)}


def load(artifact: Path, threads: int) -> Any:
    """Return a function from one image, float32 in [1, height, width, 3], to its logits, float32 in [1, classes]."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(taken["index"], pixels)
        interpreter.invoke()
        logits: NDArray[np.float32] = interpreter.get_tensor(given["index"])
        return logits

    return run
