"""Labels of the wrong form are said before a training starts, with the image where it is one's."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.dataset import ArraySplit, Dataset, FileSplit
from bench.data.labels import check_labels, label_problems
from bench.data.read import read_dataset
from bench.errors import JobError


def dataset(labels: object, other: object | None = None, classes: int = 3) -> Dataset:
    def split(found: object) -> ArraySplit:
        array = np.asarray(found)
        return ArraySplit(lambda: np.zeros((len(array), 4, 4, 3), np.uint8), array)

    rest = labels if other is None else other
    return Dataset(classes=("a", "b", "c")[:classes], training=split(labels), validation=split(rest), test=split(rest))


@pytest.mark.parametrize("name", ["digits", "digits-lower", "digits-upper-few", "digits-multilabel"])
def test_what_comes_with_the_installation_has_nothing_wrong(name: str):
    check_labels(read_dataset(name, 8))


def test_right_labels_of_either_form_pass():
    assert label_problems(dataset([0, 1, 2])) == ()
    assert label_problems(dataset([[1, 0, 1], [0, 1, 0], [0, 0, 0]])) == ()


@pytest.mark.parametrize(
    ("labels", "other", "said"),
    [
        ([0, 1, 3], None, r"training: the label of image 2 is 3, not in \[n\] from 0 to 2"),
        ([0, 1, -1], None, "training: the label of image 2 is -1"),
        ([0, 1, 2], [5, 0, 7], "validation: the label of image 0 is 5, .*; so are 1 more"),
        ([0.0, 1.0, 2.0], None, "labels are float64 and not integers"),
        ([0, 1, 2], [[0, 1, 0]], r"validation: labels are in \[1, 3\], not in \[n\]"),
        ([[0, 1], [1, 0]], None, r"training: labels are in \[2, 2\], not in \[n, 3\] of 0 and 1"),
        ([[0, 1, 2], [1, 0, 0]], None, r"the label of image 0 is \[0, 1, 2\], not in \[n, 3\] of 0 and 1"),
        ([1, 1, 1], None, "training: all 3 images are of one class, b"),
        ([0, 1, 1], None, "training: no image of c"),
        ([[1, 0, 0], [0, 1, 0]], None, "training: no image of c"),
        ([[1, 0, 1], [1, 1, 0]], None, "training: every image is of a"),
        ([[1, 0, 1], [0, 1, 0]], [[0, 0, 0]], "validation: no image has any label; test: no image has any label"),
    ],
)
def test_every_mistake_is_said(labels: object, other: object, said: str):
    with pytest.raises(JobError, match=said):
        check_labels(dataset(labels, other))


def test_a_file_is_named():
    files = tuple(Path(f"images/{number}.jpg") for number in range(2))
    wrong = FileSplit(files, np.array([0, 9]), 8)
    with pytest.raises(JobError, match=r"the label of images/1\.jpg is 9"):
        check_labels(Dataset(classes=("a", "b"), training=wrong, validation=wrong, test=wrong))
