"""ONNX for one batch, which lets the runtime plan for its shape, run by ONNX Runtime on the CPU."""

from bench.export import onnx

FORMAT = onnx.FORMAT._replace(static=True)
