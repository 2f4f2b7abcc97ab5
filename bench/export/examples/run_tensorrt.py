"""Say what a picture shows: `python example.py PICTURE`. Needs an NVIDIA GPU, tensorrt, cuda-python, numpy and pillow."""

import sys

import numpy as np
import tensorrt
from cuda.bindings import runtime as cuda
from picture import HERE, asked, pixels, tell


def checked(failed: cuda.cudaError_t, *values: int) -> tuple[int, ...]:
    """Return what a call of CUDA gave; exit where it failed."""
    return values if failed == cuda.cudaError_t.cudaSuccess else sys.exit(f"CUDA: {failed.name}")


logger = tensorrt.Logger(tensorrt.Logger.WARNING)
engine = tensorrt.Runtime(logger).deserialize_cuda_engine((HERE / "model.engine").read_bytes())
context = engine.create_execution_context()
taken, given = engine.get_tensor_name(0), engine.get_tensor_name(1)
values, logits = pixels(asked()), np.empty(tuple(engine.get_tensor_shape(given)), np.float32)
(to,), (back,) = checked(*cuda.cudaMalloc(values.nbytes)), checked(*cuda.cudaMalloc(logits.nbytes))
context.set_tensor_address(taken, to)
context.set_tensor_address(given, back)
checked(*cuda.cudaMemcpy(to, values.ctypes.data, values.nbytes, cuda.cudaMemcpyKind.cudaMemcpyHostToDevice))
context.execute_async_v3(0)  # The copy back waits for it.
checked(*cuda.cudaMemcpy(logits.ctypes.data, back, logits.nbytes, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost))
tell(logits)
