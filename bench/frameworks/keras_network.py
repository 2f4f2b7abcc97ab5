"""A network of Keras Applications: built for a cell, and what can be read off it."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.errors import JobError, Unavailable, Unsupported
from bench.frameworks.trial import Request
from bench.plan.cards import Pixels

POLICIES = {
    "fp32": "float32",
    "tf32": "float32",
    "amp-fp16": "mixed_float16",
    "amp-bf16": "mixed_bfloat16",
    "bf16": "bfloat16",
}
_PRODUCTS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
# They too multiply, and no formula for them stands below.
_UNCOUNTED = (
    keras.layers.Conv1D,
    keras.layers.Conv2DTranspose,
    keras.layers.EinsumDense,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.SeparableConv2D,
)


def catalogue() -> list[str]:
    """Return the names of the models in Keras Applications."""
    return sorted(name for name in dir(keras.applications) if name[0].isupper())


def build(request: Request, weights: str | None) -> keras.Model:
    """Build the network with logits for output; `weights` is None or 'imagenet', which asks for 1,000 classes."""
    model, size = request.model, request.cell.image_size
    constructor = getattr(keras.applications, model.model, None)
    if constructor is None:
        raise Unsupported(f"Keras {keras.__version__} has no model named {model.model}")
    try:
        network: keras.Model = constructor(
            include_top=True,
            weights=weights,
            input_shape=(size, size, 3),
            classes=1000 if weights else request.classes,
            classifier_activation=None,
            **model.arguments,
        )
    except ValueError as error:
        if "Input size must be at least" in str(error):
            raise Unsupported(f"{model.model}: {error}") from None
        raise
    return network


class Normalisation:
    """From uint8 pixels in [n, height, width, 3], red first, to the float32 that a network takes; on any backend."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.mean = np.array(pixels.mean, np.float32)
        self.std = np.array(pixels.std, np.float32)

    def __call__(self, images: Any) -> Any:
        pixels = ops.cast(images, "float32")
        if self.pixels.order == "bgr":
            pixels = ops.flip(pixels, axis=-1)
        return ops.divide(ops.subtract(pixels, self.mean), self.std)


def scaled(pixels: Pixels, by: float) -> Pixels:
    """Return a normalisation for a network that divides its input `by` itself."""
    red, green, blue = (std / by for std in pixels.std)
    return Pixels(mean=pixels.mean, std=(red, green, blue), order=pixels.order)


def pretrained(request: Request) -> keras.Model:
    """Build the network with ImageNet's weights; raise `Unavailable` where they cannot be had."""
    try:
        return build(request, "imagenet")
    except Exception as error:  # get_file raises a bare Exception for a fetch that failed.
        if "URL fetch failure" not in str(error):
            raise
        address = re.search(r"https?://\S+/([^/\s:]+)", str(error))
        file = address[1] if address else "the file"
        raise Unavailable(
            f"{request.model.model}: ImageNet weights are not cached and cannot be downloaded; put {file} into "
            "~/.keras/models"
        ) from None


def load(network: keras.Model, file: Path) -> bool:
    """Load weights, or the weights of a model, from a file of Keras's; return whether the classifier keeps its first values.

    It does where it is of another number of classes; anything else that does not fit is an error. What still is not a number
    afterwards was not loaded: Keras says so in a warning alone.
    """
    if not file.is_file():
        raise Unavailable(f"{file}: no such checkpoint")
    head = classifier(network)
    first = head.get_weights()
    numbers = [variable for variable in network.weights if keras.backend.is_float_dtype(variable.dtype)]
    for variable in numbers:
        variable.assign(np.full(variable.shape, np.nan))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.load_weights(file, skip_mismatch=True)
    except (ValueError, OSError) as error:
        raise JobError(f"{file}: does not fit this model: {str(error).splitlines()[0]}") from None
    lacking = [variable.path for variable in numbers if np.isnan(variable.numpy().astype(np.float32)).any()]
    if lacking and set(lacking) != {variable.path for variable in head.weights}:
        raise JobError(f"{file}: does not fit this model: {len(lacking)} weights lacking (first {lacking[:2]})")
    if lacking:
        head.set_weights(first)
    return bool(lacking)


def classifier(network: keras.Model) -> keras.layers.Layer:
    """Return the layer that makes the logits: the last with weights, in the order of the graph."""
    return [layer for layer in network.layers if layer.weights][-1]


def initialise_classifier(network: keras.Model, std: float) -> None:
    """Draw the classifier's weights from a normal distribution of this standard deviation and set its bias to zero."""
    layer: Any = classifier(network)
    layer.kernel.assign(keras.initializers.RandomNormal(stddev=std)(layer.kernel.shape))
    if layer.bias is not None:
        layer.bias.assign(np.zeros(layer.bias.shape, np.float32))


def set_batch_norm_momentum(network: keras.Model, newest: float) -> None:
    """Give every batch normalisation the same weight for the newest batch; Keras names what is left of one, the old's."""
    for layer in batch_norms(network):
        layer.momentum = 1 - newest


def copy_weights(source: keras.Model, target: keras.Model) -> tuple[str, ...]:
    """Copy the weights layer by layer and return the names of those of another shape, which only a classifier may have."""
    left_out = []
    for old, new in zip(_trained(source), _trained(target), strict=True):
        for theirs, ours in zip(old.weights, new.weights, strict=True):
            if theirs.shape == ours.shape:
                ours.assign(theirs)
            else:
                left_out.append(ours.path)
    return tuple(left_out)


def _trained(network: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights, but not those that normalise pixels: what they hold is on the card."""
    return [one for one in network.layers if one.weights and not isinstance(one, keras.layers.Normalization)]


def flops(network: keras.Model) -> int | None:
    """Return the operations of one image's forward pass, two a multiply-accumulate, in convolutions and dense layers.

    Counted from the layers' shapes, so that every backend says the same, and as torch's FlopCounterMode counts: products
    alone. None where the network has a layer that multiplies and is not counted here.
    """
    layers = list(leaves(network))
    if any(isinstance(layer, _UNCOUNTED) for layer in layers):
        return None
    return sum(_operations(layer) for layer in layers if isinstance(layer, _PRODUCTS))


def _operations(layer: Any) -> int:
    """A kernel is as many multiply-accumulates for each place in the output as it holds weights.

    In a grouped convolution it holds only those of its own group, and in a depthwise one only its own channel's.
    """
    places = int(np.prod(layer.output.shape[1:-1]))
    return 2 * places * int(np.prod(layer.kernel.shape))


def batch_norms(network: keras.Model) -> Iterator[Any]:
    """Yield every batch normalisation."""
    return (layer for layer in leaves(network) if isinstance(layer, keras.layers.BatchNormalization))


def leaves(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield every layer that holds no other, however deep."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer
