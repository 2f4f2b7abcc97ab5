"""Broken pictures stop a job by name, or are left out where that is asked for."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.dataset import Dataset
from bench.data.read import read_dataset
from bench.data.readable import readable
from bench.errors import JobError


@pytest.fixture
def folder(tmp_path: Path, write_image) -> Path:
    for part in ("train", "val", "test"):
        for label in ("cat", "dog"):
            for number in range(4):
                write_image(tmp_path / part / label / f"{number}.jpg", 20 + number)
    return tmp_path


def test_what_cannot_be_decoded_is_left_out_with_its_label_and_named(folder: Path, levels):
    cut = folder / "train" / "cat" / "2.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    (folder / "val" / "dog" / "0.jpg").write_bytes(b"none")
    dataset = read_dataset(f"folder:{folder}", 16)
    with pytest.raises(JobError, match=r"train/cat/2\.jpg: cannot be decoded"):
        dataset.training.batch(np.arange(8))
    told: list[str] = []
    good = readable(dataset, told.append)
    assert [line.partition(": cannot be decoded")[0] for line in told] == [
        str(cut),
        str(folder / "val" / "dog" / "0.jpg"),
    ]
    assert levels(good.training) == [20, 21, 23, 20, 21, 22, 23]
    assert good.training.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert good.validation.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert len(good.test) == 8
    assert good.classes == ("cat", "dog")


def test_a_split_with_nothing_left_is_said(folder: Path):
    for file in (folder / "val").rglob("*.jpg"):
        file.write_bytes(b"")
    with pytest.raises(JobError, match=r"none of the 8 images of the validation split can be decoded.*cat/0\.jpg"):
        readable(read_dataset(f"folder:{folder}", 16), print)


def test_images_in_memory_are_all_readable():
    digits = read_dataset("digits", 16)
    good: Dataset = readable(digits, print)
    assert good.training is digits.training
