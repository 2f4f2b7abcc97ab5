"""Labels that no training should start with: of the wrong form, out of range, of one class only."""

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Dataset, Split, image_name
from bench.errors import JobError


def check_labels(dataset: Dataset) -> None:
    """Raise `JobError` with everything that is wrong with the labels of a data set, the image named where it is one's."""
    found = label_problems(dataset)
    if found:
        raise JobError("; ".join(found))


def label_problems(dataset: Dataset) -> tuple[str, ...]:
    """Return what is wrong with the labels of a data set, one sentence each; nothing is decoded."""
    parts = {"training": dataset.training, "validation": dataset.validation, "test": dataset.test}
    wrong = [problem for part, split in parts.items() for problem in _of_form(part, split, dataset)]
    if wrong:
        return tuple(wrong)  # Counting classes makes no sense of labels that are none.
    return tuple(_of_classes(dataset))


def _of_form(part: str, split: Split, dataset: Dataset) -> list[str]:
    classes, labels = len(dataset.classes), split.labels
    expected = f"[n, {classes}] of 0 and 1" if dataset.several_labels else f"[n] from 0 to {classes - 1}"
    if labels.ndim != dataset.training.labels.ndim or labels.shape[1:] not in ((), (classes,)):
        return [f"{part}: labels are in {list(labels.shape)}, not in {expected}"]
    if not np.issubdtype(labels.dtype, np.integer):
        return [f"{part}: labels are {labels.dtype} and not integers, in {expected}"]
    highest = 1 if dataset.several_labels else classes - 1
    outside = np.flatnonzero(((labels < 0) | (labels > highest)).reshape(len(labels), -1).any(axis=1))
    if len(outside):
        first = int(outside[0])
        said = f"{part}: the label of {image_name(split, first)} is {labels[first].tolist()}, not in {expected}"
        return [said + (f"; so are {len(outside) - 1} more" if len(outside) > 1 else "")]
    return []


def _of_classes(dataset: Dataset) -> list[str]:
    counts = images_of_classes(dataset.training, len(dataset.classes))
    seen = np.flatnonzero(counts)
    if not dataset.several_labels and len(seen) == 1:
        return [f"training: all {len(dataset.training)} images are of one class, {dataset.classes[seen[0]]}"]
    found = []
    unseen = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if unseen:
        found.append(f"training: no image of {_listed(unseen)}")
    if dataset.several_labels:
        always = [name for name, count in zip(dataset.classes, counts, strict=True) if count == len(dataset.training)]
        if always:
            found.append(f"training: every image is of {_listed(always)}")
        for part, split in (("validation", dataset.validation), ("test", dataset.test)):
            if not split.labels.any():
                found.append(f"{part}: no image has any label")
    return found


def images_of_classes(split: Split, classes: int) -> NDArray[np.int64]:
    """Return how many images of a split each class has, in [classes]; the labels' form must be right."""
    counts = split.labels.sum(axis=0) if split.labels.ndim == 2 else np.bincount(split.labels, minlength=classes)
    return np.asarray(counts, dtype=np.int64)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more classes" if len(names) > 5 else shown
