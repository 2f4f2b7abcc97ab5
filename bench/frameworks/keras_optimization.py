"""From a loss to a step in Keras: what trains, loss, optimizer, schedule, accumulation, clipping, averages."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.errors import Unsupported
from bench.frameworks import keras_network
from bench.frameworks.keras_steps import STEP_LOSS
from bench.frameworks.trial import Request
from bench.plan.recipe import FIRST_RATE, FOCAL_ALPHA, FOCAL_GAMMA, Phase, Recipe

_LAST_RATE = 1e-4  # Of the first.
_RISING_SHARE = 0.3
_MOMENTUM = 0.9


@keras.saving.register_keras_serializable("bench")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle of the rate, up to `highest` and down to nearly nothing along cosines: torch's OneCycleLR by its defaults."""

    def __init__(self, highest: float, steps: int) -> None:
        self.highest = highest
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        first = self.highest * FIRST_RATE
        peak = max(_RISING_SHARE * self.steps - 1, 1e-9)
        step = ops.cast(step, "float32")
        rising = _cosine(first, self.highest, step / peak)
        falling = _cosine(self.highest, first * _LAST_RATE, (step - peak) / (self.steps - 1 - peak))
        return ops.where(step <= peak, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {"highest": self.highest, "steps": self.steps}


class OfSteps(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over the optimizer's steps, where `together` batches make one: Keras asks a schedule for each batch."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, together: int) -> None:
        self.schedule = schedule
        self.together = together

    def __call__(self, step: Any) -> Any:
        return self.schedule(ops.floor_divide(step, self.together))


def _cosine(start: float, end: float, share: Any) -> Any:
    return end + (start - end) / 2 * (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0)))


class DecayedSGD(keras.optimizers.SGD):
    """SGD whose weight decay is a part of the gradient, as torch's is; Keras's own takes it off the weights apart."""

    def __init__(self, *arguments: Any, decay: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.decay = decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(ops.add(gradient, ops.multiply(variable, self.decay)), variable, learning_rate)


class WeightedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits in which each class's positives have a weight: torch's `pos_weight`.

    The formula is that of tf.nn.weighted_cross_entropy_with_logits, which no logit overflows.
    """

    def __init__(self, positive_weights: tuple[float, ...]) -> None:
        super().__init__()
        self.positive_weights = np.array(positive_weights, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        weights = 1 + ops.multiply(y_true, self.positive_weights - 1)
        uncertain = ops.log1p(ops.exp(-ops.abs(y_pred))) + ops.relu(-y_pred)
        return ops.mean((1 - y_true) * y_pred + weights * uncertain, axis=-1)


class Focal(keras.losses.Loss):
    """Keras's BinaryFocalCrossentropy, balanced, with the cross-entropy taken of the logits, as torchvision's is.

    Keras's own takes it of probabilities that it clips at 1e-7: a logit of 17 on the wrong side would get no gradient.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        probability = ops.sigmoid(y_pred)
        right = y_true * probability + (1 - y_true) * (1 - probability)
        balance = y_true * FOCAL_ALPHA + (1 - y_true) * (1 - FOCAL_ALPHA)
        entropy = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        return ops.mean(balance * ops.power(1 - right, FOCAL_GAMMA) * entropy, axis=-1)


@keras.saving.register_keras_serializable("bench")
class StepLoss(keras.metrics.Metric):
    """The loss of the newest batch alone: Keras's own is the mean of all batches since the epoch began."""

    def __init__(self, loss: keras.losses.Loss, name: str = STEP_LOSS) -> None:
        super().__init__(name=name, dtype="float32")
        self.loss = loss
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.value.assign(ops.cast(self.loss(y_true, y_pred), "float32"))

    def result(self) -> Any:
        return ops.copy(self.value)  # On torch the variable itself would tell the newest loss for ever.


def compile_for_training(network: keras.Model, request: Request, phase: Phase | None = None) -> None:
    """Compile by the recipe, for a phase; without one everything trains, at the rate that the schedule begins with."""
    head = keras_network.classifier(network) if phase and phase.trained == "head" else None
    for layer in network.layers:
        layer.trainable = head is None or layer is head
    if request.recipe.freeze_batch_norm:
        for layer in keras_network.batch_norms(network):
            layer.trainable = False  # Keras's then answers by its statistics in training as well.
    execution, criterion = request.cell.execution, loss(request)
    network.compile(
        optimizer=optimizer(request, rate(request.recipe, phase)),
        loss=criterion,
        metrics=[StepLoss(criterion)],
        run_eagerly=execution == "eager",
        jit_compile=jit(execution),
    )


def jit(execution: str) -> bool:
    """Return whether Keras's `jit_compile` is on: TensorFlow's graph is compiled without it, and XLA asks for it."""
    if keras.backend.backend() == "tensorflow":
        return execution == "xla"
    return execution == "compiled"


def loss(request: Request) -> keras.losses.Loss:
    """Return the recipe's loss, a mean, of logits and the shares of the classes, both in [n, classes]."""
    recipe = request.recipe
    if recipe.loss == "cross-entropy":
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    if recipe.loss == "focal":
        return Focal()
    if recipe.loss == "weighted-bce" and request.positive_weights is not None:
        return WeightedBinaryCrossentropy(request.positive_weights)
    return keras.losses.BinaryCrossentropy(from_logits=True)


def rate(recipe: Recipe, phase: Phase | None) -> Any:
    """Return the learning rate, or its schedule, asked for by the number of a batch."""
    if phase is None:
        return recipe.learning_rate * (FIRST_RATE if recipe.rises else 1)
    found, together = _schedule(recipe, phase), recipe.accumulation_steps
    return OfSteps(found, together) if together > 1 and callable(found) else found


def _schedule(recipe: Recipe, phase: Phase) -> Any:
    """Return the phase's rate, or its schedule over the optimizer's steps."""
    if recipe.schedule == "onecycle":
        return OneCycle(phase.learning_rate, phase.steps)
    if recipe.schedule == "constant" and not phase.warmup_steps:
        return phase.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        phase.learning_rate * (FIRST_RATE if phase.warmup_steps else 1),
        max(1, phase.steps - phase.warmup_steps),
        alpha=0.0 if recipe.schedule == "cosine" else 1.0,
        warmup_target=phase.learning_rate if phase.warmup_steps else None,
        warmup_steps=phase.warmup_steps,
    )


def optimizer(request: Request, rate: Any) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer with torch's constants, so that a recipe means the same in every framework."""
    recipe = request.recipe
    if recipe.average_decay is not None and request.cell.precision == "bf16":
        raise Unsupported("average_decay needs more digits than the weights have in bfloat16")
    together = recipe.accumulation_steps
    common = {
        "global_clipnorm": recipe.gradient_clipping,
        "gradient_accumulation_steps": together if together > 1 else None,
        "use_ema": recipe.average_decay is not None,
        # Keras averages after each batch, torch after each step of the optimizer.
        "ema_momentum": (recipe.average_decay or 0.0) ** (1 / together),
    }
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, epsilon=1e-8, **common)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, epsilon=1e-8, **common)
    if recipe.weight_decay:
        return DecayedSGD(rate, momentum=_MOMENTUM, nesterov=True, decay=recipe.weight_decay, **common)
    return keras.optimizers.SGD(rate, momentum=_MOMENTUM, nesterov=True, **common)


def inner_optimizer(network: keras.Model) -> keras.optimizers.Optimizer:
    """Return the optimizer that changes the weights: the one within, where the loss is scaled."""
    outer = network.optimizer
    return outer.inner_optimizer if isinstance(outer, keras.optimizers.LossScaleOptimizer) else outer


def batches_applied(network: keras.Model) -> int:
    """Return how many batches' gradients have reached the optimizer; one whose loss overflowed does not."""
    return int(ops.convert_to_numpy(inner_optimizer(network)._iterations))  # `iterations` counts its steps.


@contextmanager
def averaged(network: keras.Model) -> Iterator[None]:
    """Put the averaged weights into the network for a while, where there are any; what trains comes back to the digit.

    Keras's SwapEMAWeights does so by adding and subtracting, which leaves the weights rounded.
    """
    averages = _averages(network)
    if not averages or not batches_applied(network):
        yield
        return
    own = [variable.numpy() for variable in network.trainable_variables]
    for variable, average in zip(network.trainable_variables, averages, strict=True):
        variable.assign(average.numpy())
    yield
    for variable, value in zip(network.trainable_variables, own, strict=True):
        variable.assign(value)


def average_anew(network: keras.Model) -> None:
    """Begin the averages at the network's weights: it has got others."""
    for variable, average in zip(network.trainable_variables, _averages(network), strict=False):
        average.assign(variable.numpy())


def _averages(network: keras.Model) -> list[keras.Variable]:
    """Return the averages in the order of the weights that train, as SwapEMAWeights takes them; none before they are built."""
    inner = inner_optimizer(network)
    return inner._model_variables_moving_average if inner.use_ema and inner.built else []


def norm(gradient: Any) -> float:
    """Return the root of the sum of squares."""
    return float(np.linalg.norm(ops.convert_to_numpy(gradient).astype(np.float32)))
