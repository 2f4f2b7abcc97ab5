"""Flowers are read by the authors' MATLAB lists: labels and numbers count from 1."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from bench.data.read import read_dataset
from bench.errors import JobError
from bench.plan.cards import dataset_card

CLASSES = dataset_card("flowers102").arguments["classes"]


@pytest.fixture
def flowers(data_cache: Path, write_image) -> Path:
    folder = data_cache / "flowers102"
    for number in range(1, 207):
        write_image(folder / "images" / "jpg" / f"image_{number:05d}.jpg", number)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[*range(1, 103), *range(1, 103), 7, 102]], np.uint8)})
    ids = {"trnid": np.array([range(1, 103)]), "valid": np.array([range(103, 205)]), "tstid": np.array([[206, 205]])}
    savemat(folder / "setid.mat", {key: value.astype(np.uint16) for key, value in ids.items()})
    return folder


def test_numbers_labels_and_splits_are_the_authors(flowers: Path, levels):
    dataset = read_dataset("flowers102", 16)
    assert levels(dataset.test) == [206, 205]
    assert [dataset.classes[number] for number in dataset.test.labels] == [CLASSES[101], CLASSES[6]]
    assert levels(dataset.training) == list(range(1, 103))
    assert list(dataset.training.labels) == list(range(102))
    assert levels(dataset.validation) == list(range(103, 205))


def test_a_broken_list_is_named(flowers: Path):
    (flowers / "setid.mat").write_bytes(b"none")
    with pytest.raises(JobError, match=r"setid\.mat: cannot be read"):
        read_dataset("flowers102", 16)
