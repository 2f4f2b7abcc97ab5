"""Why a model does not learn: labels that the loss cannot take, gradients that vanish or are not finite."""

import math
from collections.abc import Mapping

from bench.data.dataset import Dataset
from bench.errors import JobError
from bench.plan.recipe import Recipe

_NAMED = 3


def check_task(recipe: Recipe, dataset: Dataset) -> None:
    """Raise `JobError` where the recipe's loss is not for labels of the data set's form."""
    if recipe.several_labels and not dataset.several_labels:
        raise JobError(f"the recipe's loss, {recipe.loss}, is for several labels an image, and the data set has one")
    if dataset.several_labels and not recipe.several_labels:
        raise JobError(
            "the data set has several labels an image, and the recipe's loss, cross-entropy, is for one: "
            "take the recipe multilabel, or loss = bce, weighted-bce or focal"
        )


def positive_weights(dataset: Dataset) -> tuple[float, ...]:
    """Return of each class the training images without it over those with it; raise `JobError` where none has it."""
    labels = dataset.training.labels
    positives = labels.sum(axis=0)
    lacking = [name for name, count in zip(dataset.classes, positives, strict=True) if not count]
    if lacking:
        raise JobError(f"no training image has the label {', '.join(lacking)}")
    return tuple(float(weight) for weight in (len(labels) - positives) / positives)


def describe(gradients: Mapping[str, float]) -> str:
    """Return in words where gradients, given by their norms, are not finite or vanish."""
    endless = [name for name, norm in gradients.items() if not math.isfinite(norm)]
    silent = [name for name, norm in gradients.items() if norm == 0]
    if endless:
        return f"gradients are not finite in {_some(endless, gradients)}"
    if silent:
        return f"no gradient reaches {_some(silent, gradients)}"
    return "gradients are finite and reach every weight"


def flows(gradients: Mapping[str, float]) -> bool:
    """Return whether every weight gets a gradient that is finite and not zero."""
    return all(math.isfinite(norm) and norm > 0 for norm in gradients.values())


def _some(names: list[str], of: Mapping[str, float]) -> str:
    more = ", …" if len(names) > _NAMED else ""
    return f"{len(names)} of {len(of)} weights ({', '.join(names[:_NAMED])}{more})"
