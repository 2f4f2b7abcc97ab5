"""Accuracy: train by the recipe, choose the epoch on validation, test once on the whole test split."""

from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.data.labels import check_labels
from bench.data.overlaps import overlapping_images, overlaps
from bench.errors import Diverged
from bench.frameworks.trial import Floats, Trial
from bench.measure.context import Context
from bench.measure.fit import Fit, fit
from bench.measure.scores import top_k
from bench.records.accuracy import Accuracy, MultiLabelAccuracy


def measure(context: Context) -> Accuracy | MultiLabelAccuracy:
    """Return the test accuracy of the epoch that was best on validation, with the whole curve."""
    check_labels(context.dataset)
    trial, dataset = context.trial, context.dataset
    fitted = fit(trial, dataset, context.job.recipe, context.batch_size, seed=context.job.seed)
    figures = tested(trial, dataset, fitted, trial.logits(dataset.test), overlapping_images(overlaps(dataset)))
    if context.job.weights_file is not None:
        leave_weights(trial, Path(context.job.weights_file))
    return figures


def leave_weights(trial: Trial, file: Path) -> None:
    """Save the weights that answer into a file, which is there whole or not at all."""
    beside = file.with_name(f"part-{file.name}")  # Keras wants the suffix where it is.
    trial.save(beside)
    beside.replace(file)


def tested(
    trial: Trial, dataset: Dataset, fitted: Fit, logits: Floats, overlapping: int
) -> Accuracy | MultiLabelAccuracy:
    """Return what a trained model is worth on the test split, of which these are its logits.

    `overlapping`: how many images of validation and test are in an earlier split too.
    """
    if not np.isfinite(logits).all():
        raise Diverged("the trained model's logits on the test split are not finite")
    if dataset.several_labels:
        return _several(trial, dataset, fitted, logits, overlapping)
    labels = dataset.test.labels
    return Accuracy(
        test_top1=top_k(logits, labels, 1),
        test_top5=top_k(logits, labels, 5) if len(dataset.classes) > 5 else None,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        training_images=len(dataset.training),
        validation_images=len(dataset.validation),
        test_images=len(dataset.test),
        split_hashes=(dataset.training.hash(), dataset.validation.hash(), dataset.test.hash()),
        skipped_steps=trial.skipped_steps(),
        overlapping_images=overlapping,
    )


def _several(trial: Trial, dataset: Dataset, fitted: Fit, test: Floats, overlapping: int) -> MultiLabelAccuracy:
    from bench.measure.multilabel import (  # Imports scikit-learn.
        HALF,
        choose_thresholds,
        mean_average_precision,
        scores,
    )

    validation = trial.logits(dataset.validation)
    chosen = choose_thresholds(validation, dataset.validation.labels)
    halves = (HALF,) * len(chosen)
    return MultiLabelAccuracy(
        classes=dataset.classes,
        thresholds=chosen,
        validation_at_half=scores(validation, dataset.validation.labels, halves),
        validation_at_chosen=scores(validation, dataset.validation.labels, chosen),
        test_at_half=scores(test, dataset.test.labels, halves),
        test_at_chosen=scores(test, dataset.test.labels, chosen),
        test_mean_average_precision=mean_average_precision(test, dataset.test.labels),
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        training_images=len(dataset.training),
        validation_images=len(dataset.validation),
        test_images=len(dataset.test),
        split_hashes=(dataset.training.hash(), dataset.validation.hash(), dataset.test.hash()),
        skipped_steps=trial.skipped_steps(),
        overlapping_images=overlapping,
    )
