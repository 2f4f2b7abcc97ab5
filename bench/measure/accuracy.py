"""Accuracy: train by the recipe, choose the epoch on validation, test once on the whole test split."""

import math
import time

import numpy as np

from bench.errors import Diverged
from bench.frameworks.trial import Epoch
from bench.measure.context import Context
from bench.measure.scores import top_k
from bench.records.record import Accuracy, EpochCurve


def measure(context: Context) -> Accuracy:
    """Return the test accuracy of the epoch that was best on validation, with the whole curve.

    The best epoch has the highest top-1 and, among equals, frequent on a small split, is the last, trained at the lowest
    rate. Not the one of the lowest loss: trained with smoothed labels, an earlier, less certain epoch may have that.
    """
    trial, dataset = context.trial, context.dataset
    curve: list[EpochCurve] = []
    best = 0
    begun = time.perf_counter()

    def epoch_done(epoch: Epoch) -> bool:
        nonlocal best
        for kind, loss in (("training", epoch.training_loss), ("validation", epoch.validation_loss)):
            if not math.isfinite(loss):
                raise Diverged(f"the {kind} loss of epoch {len(curve) + 1} is {loss}")
        curve.append(
            EpochCurve(
                elapsed_seconds=time.perf_counter() - begun,
                training_loss=epoch.training_loss,
                validation_loss=epoch.validation_loss,
                validation_top1=epoch.validation_top1,
            )
        )
        best = max(range(len(curve)), key=lambda number: (curve[number].validation_top1, number))
        return best == len(curve) - 1

    trial.fit(dataset.training, dataset.validation, epoch_done)
    logits = trial.logits(dataset.test)
    if not np.isfinite(logits).all():
        raise Diverged("the trained model's logits on the test split are not finite")
    labels = dataset.test.labels
    return Accuracy(
        test_top1=top_k(logits, labels, 1),
        test_top5=top_k(logits, labels, 5) if len(dataset.classes) > 5 else None,
        epochs=tuple(curve),
        best_epoch=best + 1,
        training_images=len(dataset.training),
        validation_images=len(dataset.validation),
        test_images=len(dataset.test),
        split_hashes=(dataset.training.hash(), dataset.validation.hash(), dataset.test.hash()),
        skipped_steps=trial.skipped_steps(),
    )
