"""Export formats: a literal table, one file each. A file's `FORMAT` says what makes the format and what runs it."""

FORMATS: dict[str, str] = {
    "aotinductor": "bench.export.aotinductor",
    "litert": "bench.export.litert",
    "litert-dynamic": "bench.export.litert_dynamic",
    "litert-float16": "bench.export.litert_float16",
    "litert-int8": "bench.export.litert_int8",
    "onnx": "bench.export.onnx",
    "onnx-cuda": "bench.export.onnx_cuda",
    "onnx-int8": "bench.export.onnx_int8",
    "onnx-static": "bench.export.onnx_static",
    "onnx-tensorrt": "bench.export.onnx_tensorrt",
    "openvino": "bench.export.openvino",
    "savedmodel": "bench.export.savedmodel",
    "tensorrt": "bench.export.tensorrt",
    "tfjs": "bench.export.tfjs",
    "tfjs-chromium": "bench.export.tfjs_chromium",
    "torch-export": "bench.export.torch_export",
    "torchscript": "bench.export.torchscript",
}
