"""LiteRT with weights in 16 bits, half of the size; XNNPACK computes in 32."""

from typing import Any

from bench.export.format import Wanted
from bench.export.litert import litert


def _settings(wanted: Wanted) -> dict[str, Any]:
    import tensorflow as tf

    return {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec": {"supported_types": [tf.float16]}}


FORMAT = litert("fp16", "weights in float16", _settings)
