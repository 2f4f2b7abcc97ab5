"""TorchScript, run by libtorch on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import reason
from bench.export.format import Answer, Exporter, Floats, Format, Question, Run, Source, Wanted
from bench.export.runtime import python_runtime


def _from_torch(source: Source, wanted: Wanted) -> str:
    """Script the model, or trace it where it cannot be scripted; the answer says which."""
    import torch

    try:
        scripted, method = torch.jit.script(source.model), "torch.jit.script"
    except Exception as error:  # Scripting raises many kinds for Python it cannot compile.
        scripted = torch.jit.trace(source.model, source.example)
        method = f"torch.jit.trace (script: {reason(error)})"
    torch.jit.freeze(scripted.eval()).save(str(wanted.artifact))
    return method


def module_runtime(open_module: Callable[[str], Any]) -> Callable[[Question], Answer]:
    """Return what answers with a module of torch that `open_module` makes of an artifact, on the CPU."""

    def load(artifact: Path, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        module = open_module(str(artifact))

        def run(pixels: Floats) -> Floats:
            with torch.inference_mode():
                logits: Floats = module(torch.from_numpy(pixels)).numpy()
            return logits

        return run

    return python_runtime(load)


def _open(artifact: str) -> Any:
    import torch

    return torch.jit.load(artifact, map_location="cpu")


FORMAT = Format(
    runtime="libtorch, CPU",
    suffix=".pt",
    example="run_torchscript.py",
    exporters={"torch": Exporter(_from_torch)},
    answer=module_runtime(_open),
    packages=("torch",),
)
