"""Weights from torchvision's network into Keras's, where the two are the same one."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from torch import nn
from torchvision.models.convnext import CNBlock

from bench.frameworks.keras_network import leaves

# torch: [out, in, height, width]; Keras: [height, width, in, out], and of a depthwise kernel [height, width, channels, 1].
AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
DEPTHWISE = (2, 3, 0, 1)


def carry(source: nn.Module, target: keras.Model) -> None:
    """Copy every weight, layer by layer in the order of the forward pass; raise where the two do not fit."""
    taking = [layer for layer in leaves(target) if layer.weights]
    for given, layer in zip(_layers(source), taking, strict=True):
        kernel = DEPTHWISE if isinstance(layer, keras.layers.DepthwiseConv2D) else AXES[4]
        turned = [np.transpose(weight, kernel if weight.ndim == 4 else AXES[weight.ndim]) for weight in given]
        # Keras makes a dense layer of a 1×1 convolution.
        layer.set_weights([weight.reshape(own.shape) for weight, own in zip(turned, layer.weights, strict=True)])


def _layers(module: nn.Module) -> Iterator[list[Any]]:
    if isinstance(module, nn.Conv2d | nn.Linear | nn.LayerNorm | nn.BatchNorm2d):
        held = [module.weight, module.bias]
        held += [module.running_mean, module.running_var] if isinstance(module, nn.BatchNorm2d) else []
        yield [weight.detach().numpy() for weight in held if weight is not None]
    for child in module.children():
        yield from _layers(child)
    if isinstance(module, CNBlock):
        yield [module.layer_scale.detach().numpy().ravel()]
