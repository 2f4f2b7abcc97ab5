"""Training by a recipe, the same loop in every framework: phases, the best epoch, early stopping, going on."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from bench.data.dataset import Dataset
from bench.errors import Diverged, JobError
from bench.frameworks.trial import Floats, Labels, Trial
from bench.measure.diagnosis import describe
from bench.measure.scores import cross_entropy, top_k
from bench.plan.recipe import Phase, Recipe
from bench.records.accuracy import EpochCurve


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

    `done`: what an earlier process trained; the trial holds its best weights, and `resume` brings a phase to where it was.
    Raises `Diverged` where a loss is not finite, and says since when and where the gradients are not.
    """
    steps = len(dataset.training) // batch_size
    if not steps:
        raise JobError(f"{len(dataset.training)} training images do not fill one batch of {batch_size}")
    epochs = _Epochs(trial, dataset, steps, seed)
    held = done or Fit()
    best: Any = trial.snapshot() if held.epochs else None
    for phase in recipe.phases(steps):
        if _over(held, phase, recipe):
            continue
        if best is not None:
            trial.restore(best)
        trial.begin(phase)
        if resume is not None and _of_phase(held, phase):
            resume()
        while not _over(held, phase, recipe):
            held = Fit(epochs=(*held.epochs, epochs.run(phase, held.epochs, watcher)))
            if held.is_best:
                best = trial.snapshot()
            if watcher is not None:
                watcher.epoch(held, trial)
    trial.restore(best)
    return held


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

    def run(self, phase: Phase, before: Sequence[EpochCurve], watcher: Watcher | None) -> EpochCurve:
        trial, validation = self.trial, self.dataset.validation
        begun = time.perf_counter()
        loss, waited = self._train(len(before), watcher)
        trained = time.perf_counter() - begun
        validation_loss, score = self.judge(trial.logits(validation), validation.labels)
        if not math.isfinite(validation_loss):
            raise Diverged(f"the validation loss of epoch {len(before) + 1} is {validation_loss}")
        earlier = before[-1].elapsed_seconds if before else 0.0
        return EpochCurve(
            trained=phase.trained,
            elapsed_seconds=earlier + time.perf_counter() - begun,
            training_seconds=trained,
            wait_seconds=waited,
            training_loss=loss,
            validation_loss=validation_loss,
            validation_score=score,
        )

    def _train(self, number: int, watcher: Watcher | None) -> tuple[float, float]:
        """Return the mean loss of an epoch, and the seconds that went by before its batches were in hand."""
        trial, waited = self.trial, 0.0
        losses: list[Any] = []
        batches = trial.loader(self.dataset.training, self.seed * 1000 + number)
        for step in range(1, self.steps + 1):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            losses.append(trial.train_step(batch))
            if watcher is not None:
                watcher.step(step, self.steps, lambda: trial.loss(losses[-1]))
        trial.synchronize()
        values = [trial.loss(loss) for loss in losses]
        wrong = [step for step, value in enumerate(values, start=1) if not math.isfinite(value)]
        if wrong:
            raise Diverged(
                f"the training loss is {values[wrong[0] - 1]} from batch {wrong[0]} of epoch {number + 1} on; "
                f"{describe(trial.gradients(batch))}: lower learning_rate, or clip with gradient_clipping"
            )
        return math.fsum(values) / len(values), waited


def _judge(dataset: Dataset) -> Callable[[Floats, Labels], tuple[float, float]]:
    """Return what gives the loss and the score of logits: top-1, or of several labels the mean average precision."""
    if not dataset.several_labels:
        return lambda logits, labels: (cross_entropy(logits, labels), top_k(logits, labels, 1))
    from bench.measure.multilabel import binary_cross_entropy, mean_average_precision  # Imports scikit-learn, seconds.

    return lambda logits, labels: (binary_cross_entropy(logits, labels), mean_average_precision(logits, labels))
