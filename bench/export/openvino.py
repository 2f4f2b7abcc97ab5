"""OpenVINO's intermediate representation in 32 bits for any batch, run by OpenVINO on the CPU."""

from pathlib import Path

from bench.export.format import Exporter, Floats, Format, Run, Source, Wanted
from bench.export.runtime import python_runtime


def _from_torch(source: Source, wanted: Wanted) -> str:
    import openvino

    example = source.example.contiguous()
    model = openvino.convert_model(source.model, example_input=example, input=[-1, *example.shape[1:]])
    openvino.save_model(model, wanted.artifact, compress_to_fp16=False)
    return "openvino.convert_model, any batch"


def _from_keras(source: Source, wanted: Wanted) -> str:
    source.model.export(str(wanted.artifact), format="openvino", verbose=False, input_signature=[source.example])
    return "keras.Model.export, any batch"


def _load(artifact: Path, threads: int) -> Run:
    import openvino

    # Some processors would take bfloat16 unless told not to.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(artifact, "CPU", settings).create_infer_request()

    def run(pixels: Floats) -> Floats:
        logits: Floats = request.infer([pixels], share_inputs=True)[0]
        return logits

    return run


FORMAT = Format(
    runtime="OpenVINO, CPU",
    suffix=".xml",
    example="run_openvino.py",
    exporters={
        "torch": Exporter(_from_torch, ("openvino",)),
        "keras-tensorflow": Exporter(
            _from_keras,
            (
                "keras.export",
                "openvino",
            ),
        ),
        "keras-jax": Exporter(_from_keras, ("keras.export", "openvino", "tensorflow")),
        "keras-torch": Exporter(
            _from_keras,
            (
                "keras.export",
                "openvino",
            ),
        ),
    },
    answer=python_runtime(_load),
    packages=("openvino",),
)
