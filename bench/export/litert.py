"""LiteRT in 32 bits, run by its interpreter with XNNPACK on the CPU; the others differ in the converter's settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.export.format import Exporter, Floats, Format, Precision, Run, Source, Wanted
from bench.export.onnx import signature
from bench.export.runtime import python_runtime

Settings = Callable[[Wanted], dict[str, Any]]


def _load(artifact: Path, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(pixels: Floats) -> Floats:
        interpreter.set_tensor(taken["index"], _quantised(pixels, taken))
        interpreter.invoke()
        return _wide(interpreter.get_tensor(given["index"]), given)

    return run


def _quantised(values: Floats, tensor: dict[str, Any]) -> Any:
    """Return values as a tensor takes them: in eight bits by its own scale, where it is of eight."""
    import numpy as np

    if tensor["dtype"] != np.int8:
        return values
    scale, zero = tensor["quantization"]
    return np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)


def _wide(values: Any, tensor: dict[str, Any]) -> Floats:
    import numpy as np

    if tensor["dtype"] != np.int8:
        return values  # type: ignore[no-any-return]
    scale, zero = tensor["quantization"]
    wide: Floats = ((values.astype(np.float32) - zero) * scale).astype(np.float32)
    return wide


def litert(precision: Precision, said: str, settings: Settings) -> Format:
    """Return the format that the converter makes with some settings of its own.

    Always for one batch: XNNPACK does not take MobileNetV3's squeezes with any.
    """

    def export(source: Source, wanted: Wanted) -> str:
        source.model.export(
            wanted.artifact,
            format="litert",
            verbose=False,
            input_signature=[signature(source, wanted.batch_size)],
            **settings(wanted),
        )
        return f"keras.Model.export, {said}, batch {wanted.batch_size}"

    return Format(
        runtime="LiteRT, CPU",
        suffix=".tflite",
        example="run_litert.py",
        exporters={"keras-tensorflow": Exporter(export, ("keras.export",))},
        answer=python_runtime(_load),
        packages=("ai_edge_litert.interpreter",),
        precision=precision,
        static=True,
    )


FORMAT = litert("fp32", "float32", lambda wanted: {})
