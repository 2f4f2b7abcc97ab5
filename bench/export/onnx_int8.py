"""ONNX in eight bits: static quantisation in QDQ form, calibrated on training images, run by ONNX Runtime on the CPU."""

from typing import Any

from bench.export import onnx
from bench.export.format import Exporter, Source, Wanted


class _Reader:
    """Hands ONNX Runtime one image after another."""

    def __init__(self, name: str, images: Any) -> None:
        self._batches = ({name: image[None]} for image in images)

    def get_next(self) -> Any:
        return next(self._batches, None)


def _quantised(exporter: Exporter) -> Exporter:
    def export(source: Source, wanted: Wanted) -> str:
        """Export in 32 bits, then quantise every operator that ONNX Runtime has in eight bits, weights by channel."""
        import onnx as onnx_library
        import onnxruntime.quantization as quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        wide, prepared = (wanted.artifact.with_name(f"{part}.onnx") for part in ("wide", "prepared"))
        method = exporter.export(source, wanted._replace(artifact=wide))
        quant_pre_process(wide, prepared, skip_symbolic_shape=True)
        name = onnx_library.load(prepared, load_external_data=False).graph.input[0].name
        quantization.quantize_static(
            prepared,
            wanted.artifact,
            _Reader(name, wanted.calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        wide.unlink()
        prepared.unlink()
        return f"{method}; onnxruntime.quantization, static QDQ, weights by channel, min-max"

    return Exporter(export, (*exporter.packages, "onnxruntime.quantization.shape_inference"))


FORMAT = onnx.FORMAT._replace(
    exporters={kind: _quantised(exporter) for kind, exporter in onnx.EXPORTERS.items()}, precision="int8"
)
