"""Training by a recipe in Keras: optimizer, schedule, loss, and the callback that follows the epochs."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from bench.data.dataset import Split
from bench.errors import JobError, Unsupported
from bench.frameworks.keras_steps import STEP_LOSS, build_optimizer
from bench.frameworks.trial import Epoch
from bench.measure.scores import cross_entropy, top_k
from bench.plan.recipe import Recipe

if TYPE_CHECKING:
    from bench.frameworks.keras import KerasTrial

_FIRST_RATE = 1 / 25
_LAST_RATE = 1e-4  # Of the first.
_RISING_SHARE = 0.3


@keras.saving.register_keras_serializable("bench")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle of the rate, up to `highest` and down to nearly nothing along cosines: torch's OneCycleLR by its defaults."""

    def __init__(self, highest: float, steps: int) -> None:
        self.highest = highest
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        first = self.highest * _FIRST_RATE
        peak = max(_RISING_SHARE * self.steps - 1, 1e-9)
        step = ops.cast(step, "float32")
        rising = _cosine(first, self.highest, step / peak)
        falling = _cosine(self.highest, first * _LAST_RATE, (step - peak) / (self.steps - 1 - peak))
        return ops.where(step <= peak, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {"highest": self.highest, "steps": self.steps}


def _cosine(start: float, end: float, share: Any) -> Any:
    return end + (start - end) / 2 * (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0)))


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


def compile_for_training(network: keras.Model, recipe: Recipe, execution: str, steps: int | None = None) -> None:
    """Compile by the recipe; without `steps` the rate stays where the schedule begins."""
    rate: Any = recipe.learning_rate
    if recipe.schedule == "onecycle":
        rate = OneCycle(rate, steps) if steps else rate * _FIRST_RATE
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    network.compile(
        optimizer=_optimizer(recipe, rate),
        loss=loss,
        metrics=[StepLoss(loss)],
        run_eagerly=execution == "eager",
        jit_compile=jit(execution),
    )


def jit(execution: str) -> bool:
    """Return whether Keras's `jit_compile` is on: TensorFlow's graph is compiled without it, and XLA asks for it."""
    if keras.backend.backend() == "tensorflow":
        return execution == "xla"
    return execution == "compiled"


def _optimizer(recipe: Recipe, rate: Any) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer with torch's constants, so that a recipe means the same in every framework."""
    if recipe.optimizer == "sgd":
        if recipe.weight_decay:
            raise Unsupported(
                "Keras's SGD decouples its weight decay from the gradient and torch's does not; use adamw"
            )
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, epsilon=1e-8)


def fit(trial: "KerasTrial", training: Split, validation: Split, epoch_done: Callable[[Epoch], bool]) -> None:
    """Train with `Model.fit`; leave the weights of the last epoch of which `epoch_done` said that it is the best so far."""
    recipe, size = trial.request.recipe, trial.batch_size
    steps = len(training) // size
    if not steps:
        raise JobError(f"{len(training)} training images do not fill one batch of {size}")
    trial.steps.settle()
    compile_for_training(trial.network, recipe, trial.request.cell.execution, steps * recipe.epochs)
    build_optimizer(trial.network)
    best = _KeepBest(trial, validation, epoch_done)
    for epoch in range(recipe.epochs):  # One call an epoch, so that each has an order of its own on every backend.
        trial.network.fit(
            trial.backend.batches(trial, training, trial.request.seed * 1000 + epoch),
            steps_per_epoch=steps,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[best],
            verbose=0,
        )
    trial.network.set_weights(best.weights)
    trial.steps.settle()


class _KeepBest(keras.callbacks.Callback):
    """What ModelCheckpoint(save_best_only=True) does, in memory, and by the caller's rule for what is best."""

    def __init__(self, trial: "KerasTrial", validation: Split, epoch_done: Callable[[Epoch], bool]) -> None:
        super().__init__()
        self.trial = trial
        self.validation = validation
        self.epoch_done = epoch_done
        self.weights: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.trial.steps.settle()
        logits = self.trial.logits(self.validation)
        done = Epoch(
            training_loss=float(logs["loss"]),
            validation_loss=cross_entropy(logits, self.validation.labels),
            validation_top1=top_k(logits, self.validation.labels, 1),
        )
        if self.epoch_done(done):
            self.weights = self.model.get_weights()
