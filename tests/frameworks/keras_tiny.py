"""A tiny network in Keras, and trials of it or of a real one, for the checks that run once a backend."""

import os
from typing import Any

import torch._dynamo  # noqa: F401 - before TensorFlow, whose LLVM the one in Triton does not stand.

import keras  # isort: skip
import msgspec
from conftest import CELL

from bench.frameworks.keras import KerasTrial, build
from bench.frameworks.trial import Request
from bench.plan.cards import FrameworkModel, framework_model
from bench.plan.recipe import Recipe, recipe

FRAMEWORK = f"keras-{os.environ['KERAS_BACKEND']}"
EXECUTION = "eager" if FRAMEWORK == "keras-torch" else "compiled"  # Where torch compiles a step it takes a minute.
TINY = FrameworkModel(model="Tiny")


def tiny(
    *,
    input_shape: tuple[int, ...],
    classes: int,
    classifier_activation: None,
    rate: float = 0,
    cut: bool = False,
    **_: object,
) -> keras.Model:
    """A network of the layers that the real ones have; compiling one of those takes half a minute.

    It drops out where `rate` says so, and learns in its classifier alone where it is `cut`.
    """
    inputs = outputs = keras.Input(input_shape)
    for strides, filters in ((2, 8), (2, 16)):
        outputs = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(outputs)
        outputs = keras.layers.BatchNormalization(momentum=0.999)(outputs)
        outputs = keras.layers.ReLU()(outputs)
        outputs = keras.layers.DepthwiseConv2D(3, padding="same")(outputs)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    if rate:
        outputs = keras.layers.Dropout(rate)(outputs)
    if cut:
        outputs = keras.layers.Rescaling(0.0)(outputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(outputs))


keras.applications.Tiny = tiny


def trial(architecture: str | None = None, **changes: Any) -> KerasTrial:
    cell = {"framework": FRAMEWORK, "execution": EXECUTION, "image_size": 40, "recipe": "baseline", **changes}
    classes, seed = (cell.pop(name, usual) for name, usual in (("classes", 10), ("seed", 0)))
    arguments, weights = cell.pop("arguments", {}), cell.pop("positive_weights", None)
    changed = {"epochs": 2} | {name: cell.pop(name) for name in Recipe.__struct_fields__ if name in cell}
    model = framework_model(architecture, FRAMEWORK) if architecture else TINY
    assert model is not None
    model = msgspec.structs.replace(model, arguments=model.arguments | arguments)
    asked = Request(
        cell=msgspec.structs.replace(CELL, **cell),
        model=model,
        recipe=msgspec.structs.replace(recipe("baseline"), **changed),
        classes=classes,
        seed=seed,
        threads=2,
        positive_weights=weights,
    )
    return build(asked)
