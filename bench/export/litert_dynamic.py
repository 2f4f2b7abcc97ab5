"""LiteRT with weights in eight bits; activations are quantised as they come, by the range of each."""

from typing import Any

from bench.export.format import Wanted
from bench.export.litert import litert


def _settings(wanted: Wanted) -> dict[str, Any]:
    import tensorflow as tf

    return {"optimizations": [tf.lite.Optimize.DEFAULT]}


FORMAT = litert("int8-weights", "dynamic range", _settings)
