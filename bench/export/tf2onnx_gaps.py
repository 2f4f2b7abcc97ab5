"""What tf2onnx does not take from Keras on TensorFlow, brought out of its way without a change to what is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def avoided(model: Any) -> Iterator[list[str]]:
    """Have Keras export so that tf2onnx finds one input and one graph, and yield in words what is done for it.

    A tensor that a layer holds and that is no variable would become an input of the network: `Normalization` has two. A function
    that Keras compiles by itself, as it does a convolution in groups, would stay a call ('StatefulPartitionedCall').
    """
    import keras
    import numpy as np
    import tensorflow as tf

    layers = model._flatten_layers(include_self=False)
    holding = [layer for layer in layers if isinstance(layer, keras.layers.Normalization)]
    for layer in holding:
        layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    tf.config.run_functions_eagerly(True)  # Of functions within one that is traced: they become part of it.
    try:
        yield ["functions inlined", *(["Normalization's tensors made constants"] if holding else [])]
    finally:
        tf.config.run_functions_eagerly(False)


def replace_erfc(file: Path) -> list[str]:
    """Write 1 - Erf for Erfc, which TensorFlow's GELU has and ONNX lacks; return in words what was done, where anything was."""
    import onnx
    from onnx import helper

    model = onnx.load(file)
    nodes = list(model.graph.node)
    if not any(node.op_type == "Erfc" for node in nodes):
        return []
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, (), [1.0])
    model.graph.initializer.append(one)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "Erfc":
            erf = f"{node.output[0]}/erf"
            model.graph.node.append(helper.make_node("Erf", node.input, [erf], f"{node.name}/erf"))
            node = helper.make_node("Sub", [one.name, erf], node.output, node.name)
        model.graph.node.append(node)
    onnx.save(model, file)
    return ["1 - Erf for Erfc"]
