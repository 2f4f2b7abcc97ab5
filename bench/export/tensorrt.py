"""A TensorRT engine in 32 bits for one batch, made of ONNX, run by TensorRT on an NVIDIA GPU."""

from pathlib import Path
from typing import Any

from bench.errors import JobError
from bench.export import onnx
from bench.export.format import Exporter, Floats, Format, Run, Source, Wanted
from bench.export.runtime import python_runtime
from bench.measure.nvml import require_gpu


def _engine(exporter: Exporter) -> Exporter:
    def export(source: Source, wanted: Wanted) -> str:
        import tensorrt

        middle = wanted.artifact.with_suffix(".onnx")
        method = exporter.export(source, wanted._replace(artifact=middle))
        logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        builder = tensorrt.Builder(logger)
        network = builder.create_network(0)
        parser = tensorrt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(middle)):
            raise JobError(f"TensorRT: {parser.get_error(0).desc()}")
        config = builder.create_builder_config()
        config.clear_flag(tensorrt.BuilderFlag.TF32)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise JobError("TensorRT built no engine; the log says why")
        wanted.artifact.write_bytes(engine)
        middle.unlink()
        return f"{method}; TensorRT {tensorrt.__version__}, TF32 off"

    return Exporter(export, (*exporter.packages, "tensorrt"))


def _load(artifact: Path, threads: int) -> Run:
    import numpy as np
    import tensorrt
    from cuda.bindings import runtime as cuda

    engine = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING)).deserialize_cuda_engine(artifact.read_bytes())
    if engine is None:
        raise JobError("TensorRT reads no engine in this file; the log says why")
    context = engine.create_execution_context()
    taken, given = engine.get_tensor_name(0), engine.get_tensor_name(1)
    shape = tuple(engine.get_tensor_shape(taken))
    logits = np.empty(tuple(engine.get_tensor_shape(given)), np.float32)

    def checked(failed: Any, *values: Any) -> tuple[Any, ...]:
        if failed != cuda.cudaError_t.cudaSuccess:
            raise RuntimeError(f"CUDA: {failed.name}")
        return values

    on_device = {}
    for name, size in ((taken, 4 * int(np.prod(shape))), (given, logits.nbytes)):
        (on_device[name],) = checked(*cuda.cudaMalloc(size))
        context.set_tensor_address(name, on_device[name])
    (stream,) = checked(*cuda.cudaStreamCreate())

    def run(pixels: Floats) -> Floats:
        if pixels.shape != shape:
            raise JobError(f"the engine takes images in {list(shape)}, and these are in {list(pixels.shape)}")
        there, back = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(*cuda.cudaMemcpyAsync(on_device[taken], pixels.ctypes.data, pixels.nbytes, there, stream))
        if not context.execute_async_v3(stream):
            raise RuntimeError("TensorRT could not run the engine; the log says why")
        checked(*cuda.cudaMemcpyAsync(logits.ctypes.data, on_device[given], logits.nbytes, back, stream))
        checked(*cuda.cudaStreamSynchronize(stream))
        return logits

    return run


FORMAT = Format(
    runtime="TensorRT",
    suffix=".engine",
    example="run_tensorrt.py",
    exporters={kind: _engine(exporter) for kind, exporter in onnx.EXPORTERS.items()},
    answer=python_runtime(_load),
    packages=("tensorrt", "cuda.bindings.runtime"),
    install="pip install tensorrt cuda-python, on an NVIDIA GPU",
    static=True,
    several_threads=False,
    device="cuda",
    needs=require_gpu,
)
