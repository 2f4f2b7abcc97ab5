"""ONNX for any batch, run by ONNX Runtime on the CPU."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.export import tf2onnx_gaps
from bench.export.format import Exporter, Floats, Format, Run, Source, Wanted
from bench.export.runtime import python_runtime

_CPU = "CPUExecutionProvider"


def _from_torch(source: Source, wanted: Wanted) -> str:
    """Export through torch.export, weights inside the file; an example batch of one would be taken for the only one."""
    import torch

    size = wanted.batch_size
    example = source.example if size is None else source.example[:1].expand(size, -1, -1, -1)
    torch.onnx.export(
        source.model,
        (example,),
        wanted.artifact,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},) if size is None else None,
        input_names=["pixels"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
    )
    return f"torch.onnx.export, dynamo, {_batch(size)}"


def _from_keras(source: Source, wanted: Wanted) -> str:
    """Export through Keras, which takes another library on each backend."""
    source.model.export(
        wanted.artifact, format="onnx", verbose=False, input_signature=[signature(source, wanted.batch_size)]
    )
    return f"keras.Model.export, {_batch(wanted.batch_size)}"


def _from_keras_tensorflow(source: Source, wanted: Wanted) -> str:
    """The same, around what tf2onnx does not take; the method says how."""
    with tf2onnx_gaps.avoided(source.model) as done:
        method = _from_keras(source, wanted)
    return ", ".join([method, *done, *tf2onnx_gaps.replace_erfc(wanted.artifact)])


def signature(source: Source, batch_size: int | None) -> Any:
    """Return what Keras is told of the model's input: its shape with so many images, or any number of them."""
    import keras

    given = source.example
    return keras.InputSpec(dtype=given.dtype, shape=(batch_size, *given.shape[1:]), name=given.name)


def _batch(size: int | None) -> str:
    return "any batch" if size is None else f"batch {size}"


EXPORTERS = {
    "torch": Exporter(_from_torch, ("onnx", "onnxscript")),
    "keras-tensorflow": Exporter(_from_keras_tensorflow, ("keras.export", "onnx", "tf2onnx")),
    "keras-jax": Exporter(_from_keras, ("keras.export", "onnx", "jax2onnx")),
    "keras-torch": Exporter(_from_keras, ("keras.export", "onnx", "onnxscript")),
}


def _load_libraries(provider: str) -> None:
    """Load what a GPU's provider is linked to: pip puts it where the system does not look."""
    import onnxruntime

    if provider != _CPU:
        onnxruntime.preload_dlls()
    if provider == "TensorrtExecutionProvider":
        importlib.import_module("tensorrt")


def loader(provider: str) -> Callable[[Path, int], Run]:
    """Return what loads an artifact with one of ONNX Runtime's providers, and the CPU's for what that cannot do."""

    def load(artifact: Path, threads: int) -> Run:
        import onnxruntime

        _load_libraries(provider)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A processor without VNNI multiplies pairs of eight bits into sixteen that overflow, unless this is asked for.
        options.add_session_config_entry("session.x64quantprecision", "1")
        providers = list(dict.fromkeys((provider, _CPU)))
        session = onnxruntime.InferenceSession(artifact, options, providers=providers)
        if provider not in session.get_providers():  # It falls back without an error.
            raise RuntimeError(f"ONNX Runtime runs this without its {provider}")
        (name,) = (argument.name for argument in session.get_inputs())

        def run(pixels: Floats) -> Floats:
            logits: Floats = session.run(None, {name: pixels})[0]
            return logits

        return run

    return load


FORMAT = Format(
    runtime="ONNX Runtime, CPU",
    suffix=".onnx",
    example="run_onnx.py",
    exporters=EXPORTERS,
    answer=python_runtime(loader(_CPU)),
    packages=("onnxruntime",),
)
