"""ONNX, run by ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUNTIME = "ONNX Runtime, CPU"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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


EXPORTERS = {"torch": _from_torch}


def load(artifact: Path, threads: int) -> Any:
    """Return a function from pixels, float32 in [n, 3, height, width], to logits, float32 in [n, classes]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {"pixels": pixels})[0]
        return logits

    return run
