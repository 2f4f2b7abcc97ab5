"""Training by a recipe, the same loop in every framework: phases, the best epoch, early stopping, going on."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from bench.data.dataset import Dataset
from bench.errors import Diverged, JobError
from bench.frameworks.trial import Floats, Labels, Trial
from bench.measure.diagnosis import describe
from bench.measure.scores import cross_entropy, top_k
from bench.plan.recipe import Phase, Recipe
from bench.records.accuracy import EpochCurve

# Batches; reading a loss waits for the device.
_LOOKED_AT_EVERY = 50


class Watcher(Protocol):
    """Whoever follows a training."""

    def step(self, number: int, steps: int, loss: Callable[[], float]) -> None:
        """The first `number` of an epoch's `steps` have been asked for; `loss` waits for the newest."""

    def epoch(self, done: "Fit", trial: Trial) -> None:
        """An epoch is over."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A training so far: the curve, and the number of the epoch that was best on validation, from 1; 0 before the first."""

    epochs: tuple[EpochCurve, ...] = ()

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest score on validation and, among equals, frequent on a small split, the last.

        It was trained at the lowest rate. Not the one of the lowest loss: trained with smoothed labels, an earlier, less
        certain epoch may have that.
        """
        numbers = range(len(self.epochs))
        return 1 + max(numbers, key=lambda n: (self.epochs[n].validation_score, n), default=-1)

    @property
    def is_best(self) -> bool:
        """Whether the newest epoch is the best."""
        return self.best_epoch == len(self.epochs)


def fit(
    trial: Trial,
    dataset: Dataset,
    recipe: Recipe,
    batch_size: int,
    *,
    seed: int,
    watcher: Watcher | None = None,
    done: Fit | None = None,
    resume: Callable[[], None] | None = None,
) -> Fit:
    """Train by the recipe, leave the weights of the epoch that was best on validation, and return the curve.

    `done`: what an earlier process trained; the trial holds its best weights, and `resume` brings the phase of its newest
    epoch to where it was. Raises `Diverged` where a loss is not finite, and says since when, and of the best weights before
    that where the gradients are not.
    """
    steps = len(dataset.training) // batch_size
    if not steps:
        raise JobError(
            f"{len(dataset.training)} training images do not fill one batch of {batch_size}: take a smaller one"
        )
    phases = recipe.phases(steps)
    _refuse_without_step(phases, recipe, steps)
    epochs = _Epochs(trial, dataset, steps, seed)
    held = done or Fit()
    best: Any = trial.snapshot()  # Before the first epoch too: there a loss that is not finite is looked into.
    begun = None
    if held.epochs and resume is not None:  # Though its phase be over: the next inherits what no weights hold.
        begun = next(phase for phase in phases if phase.trained == held.epochs[-1].trained)
        trial.begin(begun)
        resume()
    for phase in phases:
        if _over(held, phase, recipe):
            continue
        if phase is not begun:
            if held.epochs:
                trial.restore(best)
            trial.begin(phase)
        while not _over(held, phase, recipe):
            held = Fit(epochs=(*held.epochs, epochs.run(phase, held, best, watcher)))
            if held.is_best:
                best = trial.snapshot()
            if watcher is not None:
                watcher.epoch(held, trial)
    trial.restore(best)
    return held


def _refuse_without_step(phases: Sequence[Phase], recipe: Recipe, steps: int) -> None:
    """Raise `JobError` where a phase has fewer batches than make one step of the optimizer: it would train nothing."""
    for phase in phases:
        if not phase.steps:
            raise JobError(
                f"accumulation_steps is {recipe.accumulation_steps}, and the {phase.epochs * steps} batches of the phase "
                f"{phase.trained!r} do not make one step: lower it, or the batch size"
            )


def _of_phase(held: Fit, phase: Phase) -> list[EpochCurve]:
    return [epoch for epoch in held.epochs if epoch.trained == phase.trained]


def _over(held: Fit, phase: Phase, recipe: Recipe) -> bool:
    """Return whether a phase has had its epochs, or has not become better for as many as the recipe waits."""
    own = _of_phase(held, phase)
    if len(own) >= phase.epochs:
        return True
    since_best = len(own) - Fit(epochs=tuple(own)).best_epoch
    return recipe.early_stopping_epochs is not None and bool(own) and since_best >= recipe.early_stopping_epochs


class _Epochs:
    """Single epochs of one training, each timed and held against validation."""

    def __init__(self, trial: Trial, dataset: Dataset, steps: int, seed: int) -> None:
        self.trial = trial
        self.dataset = dataset
        self.steps = steps
        self.seed = seed
        self.judge = _judge(dataset)

    def run(self, phase: Phase, held: Fit, best: Any, watcher: Watcher | None) -> EpochCurve:
        """Train and judge one epoch more. `best`: a snapshot of the weights that were best before it."""
        trial, validation = self.trial, self.dataset.validation
        begun = time.perf_counter()
        loss, waited = self._train(held, best, watcher)
        trained = time.perf_counter() - begun
        validation_loss, score = self.judge(trial.logits(validation), validation.labels)
        if not math.isfinite(validation_loss):
            raise Diverged(
                f"the validation loss of epoch {len(held.epochs) + 1} is {validation_loss}: try a lower learning_rate"
            )
        earlier = held.epochs[-1].elapsed_seconds if held.epochs else 0.0
        return EpochCurve(
            trained=phase.trained,
            elapsed_seconds=earlier + time.perf_counter() - begun,
            training_seconds=trained,
            wait_seconds=waited,
            training_loss=loss,
            validation_loss=validation_loss,
            validation_score=score,
        )

    def _train(self, held: Fit, best: Any, watcher: Watcher | None) -> tuple[float, float]:
        """Return the mean loss of an epoch, and the seconds that went by before its batches were in hand."""
        trial, waited = self.trial, 0.0
        losses: list[Any] = []
        batches = self._batches(held)
        for step in range(1, self.steps + 1):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            losses.append(trial.train_step(batch))
            if watcher is not None:
                watcher.step(step, self.steps, lambda: trial.loss(losses[-1]))
            if step % _LOOKED_AT_EVERY == 0 and not math.isfinite(trial.loss(losses[-1])):
                break
        trial.synchronize()
        values = [trial.loss(loss) for loss in losses]
        for number, value in enumerate(values, start=1):
            if not math.isfinite(value):
                where = f"the training loss is {value} from batch {number} of epoch {len(held.epochs) + 1} on"
                raise Diverged(f"{where}; {self._blamed(held, best, number)}")
        return math.fsum(values) / len(values), waited

    def _batches(self, held: Fit) -> Iterator[Any]:
        """Return the batches of the next epoch, the same whenever they are asked for."""
        return self.trial.loader(self.dataset.training, self.seed * 1000 + len(held.epochs))

    def _blamed(self, held: Fit, best: Any, number: int) -> str:
        """Return what the gradients of a batch were before the weights were spoilt, with which every one is not finite."""
        self.trial.restore(best)
        gradients = self.trial.gradients(next(islice(self._batches(held), number - 1, None)))
        weights = f"of epoch {held.best_epoch}, the best before" if held.epochs else "that it began with"
        advice = (
            "lower learning_rate, or clip with gradient_clipping"
            if all(map(math.isfinite, gradients.values()))
            else "look at the images and at those layers first"
        )
        return f"with the weights {weights}, {describe(gradients)}: {advice}"


def _judge(dataset: Dataset) -> Callable[[Floats, Labels], tuple[float, float]]:
    """Return what gives the loss and the score of logits: top-1, or of several labels the mean average precision."""
    if not dataset.several_labels:
        return lambda logits, labels: (cross_entropy(logits, labels), top_k(logits, labels, 1))
    from bench.measure.multilabel import binary_cross_entropy, mean_average_precision  # Imports scikit-learn, seconds.

    return lambda logits, labels: (binary_cross_entropy(logits, labels), mean_average_precision(logits, labels))
