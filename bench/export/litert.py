"""LiteRT in 32 bits, run by its interpreter with XNNPACK on the CPU; the others differ in the converter's settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.export.format import Exporter, Floats, Format, Precision, Run, Source, Wanted
from bench.export.onnx import signature
from bench.export.runtime import python_runtime

Settings = Callable[[Wanted], dict[str, Any]]


def _load(artifact: Path, threads: int) -> Run:
    """Load an artifact; one that takes eight bits has its images made so, and its logits wide, within each request."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    into, out_of = taken["index"], given["index"]

    def run(pixels: Floats) -> Floats:
        interpreter.set_tensor(into, pixels)
        interpreter.invoke()
        logits: Floats = interpreter.get_tensor(out_of)
        return logits

    return _in_eight_bits(run, taken["quantization"], given["quantization"]) if taken["dtype"] == np.int8 else run


def _in_eight_bits(run: Run, taken: tuple[float, int], given: tuple[float, int]) -> Run:
    """Return what makes images eight bits by the scale and the zero of one tensor, and logits wide by another's."""
    import numpy as np

    (scale, zero), (wide, middle) = ((np.float32(one), np.float32(other)) for one, other in (taken, given))

    def narrow(pixels: Floats) -> Floats:
        values = pixels / scale
        values += zero
        np.rint(values, out=values)
        np.clip(values, -128, 127, out=values)
        logits: Floats = (run(values.astype(np.int8)).astype(np.float32) - middle) * wide
        return logits

    return narrow


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
