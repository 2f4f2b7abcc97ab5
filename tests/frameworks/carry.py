"""ConvNeXt's weights from torchvision's network into Keras's, which is the same one: no padding, no batch normalisation."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from torch import nn
from torchvision.models.convnext import CNBlock

from bench.frameworks.keras_network import leaves

AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # torch: [out, in, height, width]; Keras: [height, width, in, out].


def carry(source: nn.Module, target: keras.Model) -> None:
    """Copy every weight, layer by layer in the order of the forward pass; raise where the two do not fit."""
    taking = [layer for layer in leaves(target) if layer.weights]
    for given, layer in zip(_layers(source), taking, strict=True):
        layer.set_weights([np.transpose(weight, AXES[weight.ndim]) for weight in given])


def _layers(module: nn.Module) -> Iterator[list[Any]]:
    if isinstance(module, nn.Conv2d | nn.Linear | nn.LayerNorm):
        yield [module.weight.detach().numpy(), module.bias.detach().numpy()]
    for child in module.children():
        yield from _layers(child)
    if isinstance(module, CNBlock):
        yield [module.layer_scale.detach().numpy().ravel()]
