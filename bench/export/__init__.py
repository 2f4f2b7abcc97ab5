"""Export formats: a literal table, one file each. A file holds the exporter and the runtime of its format."""

FORMATS: dict[str, str] = {
    "onnx": "bench.export.onnx",
    "torchscript": "bench.export.torchscript",
}
