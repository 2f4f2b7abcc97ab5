"""TorchScript, run by libtorch on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.export import Exporter

RUNTIME = "libtorch, CPU"
PACKAGES = ("torch",)
SUFFIX = ".pt"


def _from_torch(model: Any, example: Any, artifact: Path) -> str:
    """Script the model, or trace it where it cannot be scripted; the answer says which."""
    import torch

    try:
        scripted, method = torch.jit.script(model), "torch.jit.script"
    except Exception as error:  # Scripting raises many kinds for Python it cannot compile.
        scripted = torch.jit.trace(model, example)
        method = f"torch.jit.trace (script: {type(error).__name__})"
    torch.jit.freeze(scripted.eval()).save(str(artifact))
    return method


EXPORTERS = {"torch": Exporter(_from_torch)}


def load(artifact: Path, threads: int) -> Any:
    """Return a function from pixels, float32 in [n, 3, height, width], to logits, float32 in [n, classes]."""
    import torch

    torch.set_num_threads(threads)
    module = torch.jit.load(str(artifact), map_location="cpu")

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(pixels)).numpy()
        return logits

    return run
