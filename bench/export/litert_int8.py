"""LiteRT in eight bits throughout, its input and output too, calibrated on training images."""

from collections.abc import Iterator
from typing import Any

from bench.export.format import Wanted
from bench.export.litert import litert


def _settings(wanted: Wanted) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    def representative() -> Iterator[list[Any]]:
        images = wanted.calibration
        assert images is not None, "eight bits are calibrated"
        size = wanted.batch_size or 1
        for start in range(0, len(images), size):
            yield [images[np.arange(start, start + size) % len(images)]]

    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": representative,
        "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        "inference_input_type": tf.int8,
        "inference_output_type": tf.int8,
    }


FORMAT = litert("int8", "int8 throughout, calibrated", _settings)
