"""ONNX for any batch, run by ONNX Runtime through TensorRT."""

from bench.export.onnx_cuda import on

FORMAT = on("TensorrtExecutionProvider")._replace(
    packages=("onnxruntime", "tensorrt"), install="pip install onnxruntime-gpu tensorrt, on an NVIDIA GPU"
)
