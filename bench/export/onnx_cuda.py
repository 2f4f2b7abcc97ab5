"""ONNX for any batch, run by ONNX Runtime on an NVIDIA GPU."""

from bench.errors import Unavailable
from bench.export import onnx
from bench.export.format import Format
from bench.export.runtime import python_runtime
from bench.measure.nvml import require_gpu


def needs(provider: str) -> None:
    """Raise `Unavailable` where the installed ONNX Runtime was built without a provider, or there is no GPU."""
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        raise Unavailable(
            f"this ONNX Runtime has no {provider}: pip install onnxruntime-gpu in its place, on an NVIDIA GPU"
        )
    require_gpu()


def on(provider: str) -> Format:
    """Return the format that runs with one of the GPU's providers."""
    return onnx.FORMAT._replace(
        runtime=f"ONNX Runtime, {provider}",
        answer=python_runtime(onnx.loader(provider)),
        several_threads=False,
        device="cuda",
        needs=lambda: needs(provider),
    )


FORMAT = on("CUDAExecutionProvider")
