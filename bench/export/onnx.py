"""ONNX, run by ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.export import Exporter

RUNTIME = "ONNX Runtime, CPU"
PACKAGES = ("onnx", "onnxruntime")
SUFFIX = ".onnx"


def _from_torch(model: Any, example: Any, artifact: Path) -> str:
    """Export through torch.export with a dynamic batch, weights inside the file."""
    import torch

    torch.onnx.export(
        model,
        (example,),
        artifact,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["pixels"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
    )
    return "torch.onnx.export, dynamo, dynamic batch"


def _from_keras(model: Any, example: Any, artifact: Path) -> str:
    """Export through Keras, which takes another library on each backend."""
    model.export(artifact, format="onnx", verbose=False, input_signature=[example])
    return "keras.Model.export, dynamic batch"


EXPORTERS = {
    "torch": Exporter(_from_torch, ("onnxscript",)),
    "keras-tensorflow": Exporter(_from_keras, ("tf2onnx",)),
    "keras-jax": Exporter(_from_keras, ("jax2onnx",)),
    "keras-torch": Exporter(_from_keras, ("onnxscript",)),
}


def load(artifact: Path, threads: int) -> Any:
    """Return a function from pixels, float32 in the source's own order of axes, to logits, float32 in [n, classes]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {name: pixels})[0]
        return logits

    return run
