"""SavedModel, run by TensorFlow's own loader on the CPU."""

from pathlib import Path

from bench.export.format import Exporter, Floats, Format, Run, Source, Wanted
from bench.export.onnx import signature
from bench.export.runtime import python_runtime


def from_keras(source: Source, wanted: Wanted) -> str:
    """Export the forward pass through Keras, for any batch."""
    asked = [signature(source, wanted.batch_size)]
    source.model.export(wanted.artifact, format="tf_saved_model", verbose=False, input_signature=asked)
    return "keras.Model.export, any batch"


def _load(artifact: Path, threads: int) -> Run:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tf.device("/CPU:0"):
        module = tf.saved_model.load(artifact)

    def run(pixels: Floats) -> Floats:
        with tf.device("/CPU:0"):
            logits: Floats = module.serve(pixels).numpy()
        return logits

    return run


FORMAT = Format(
    runtime="TensorFlow, CPU",
    suffix="",
    example="run_savedmodel.py",
    exporters={
        kind: Exporter(from_keras, ("keras.export", "tensorflow")) for kind in ("keras-jax", "keras-tensorflow")
    },
    answer=python_runtime(_load),
    packages=("tensorflow",),
)
