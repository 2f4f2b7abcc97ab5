"""ONNX for any batch, run by ONNX Runtime through TensorRT."""

from bench.export.onnx_cuda import on

FORMAT = on("TensorrtExecutionProvider")
