"""A folder of images, in the forms people have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.read import read_dataset
from bench.errors import JobError


def fill(folder: Path, count: int, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    source = np.random.default_rng(0)
    for label in classes:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = source.integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def test_one_folder_a_class_is_split_by_name(tmp_path: Path):
    fill(tmp_path, 60)
    dataset = read_dataset(f"folder:{tmp_path}", 16)
    sizes = [len(split) for split in (dataset.training, dataset.validation, dataset.test)]
    assert sum(sizes) == 120
    assert sizes[0] > sizes[2] > sizes[1] > 0
    assert dataset.classes == ("cat", "dog")
    fill(tmp_path, 70)
    after = read_dataset(f"folder:{tmp_path}", 16)
    for part in ("training", "validation", "test"):
        assert set(getattr(after, part).files) >= set(getattr(dataset, part).files), "an added file moves no other"


def test_given_splits_are_kept_and_a_missing_validation_comes_from_training(tmp_path: Path):
    fill(tmp_path / "train", 40)
    fill(tmp_path / "test", 5)
    dataset = read_dataset(f"folder:{tmp_path}", 16)
    assert len(dataset.test) == 10
    assert len(dataset.training) + len(dataset.validation) == 80
    assert len(dataset.validation) > 0
    fill(tmp_path / "val", 3)
    assert len(read_dataset(f"folder:{tmp_path}", 16).validation) == 6


def test_of_train_and_val_alone_val_is_the_test(tmp_path: Path):
    """As ImageNet and Imagenette have it; `train` and `val` would else be two classes, learnt with ease."""
    fill(tmp_path / "train", 40)
    fill(tmp_path / "val", 5)
    dataset = read_dataset(f"folder:{tmp_path}", 16)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.test) == 10
    assert all("val" in file.parts for file in dataset.test.files)
    assert len(dataset.training) + len(dataset.validation) == 80
    assert len(dataset.validation) > 0


@pytest.mark.parametrize("there", ["train", "val", "test"])
def test_a_single_part_is_refused(tmp_path: Path, there: str):
    fill(tmp_path / there, 5)
    with pytest.raises(JobError, match=f"has {there}, but needs"):
        read_dataset(f"folder:{tmp_path}", 16)


def test_a_file_that_is_no_image_is_named(tmp_path: Path):
    fill(tmp_path, 30)
    for number in range(30):
        (tmp_path / "cat" / f"{number}.png").write_bytes(b"not an image")
    dataset = read_dataset(f"folder:{tmp_path}", 16)
    with pytest.raises(JobError, match=r"cat/\d+\.png: cannot be decoded"):
        dataset.training.batch(np.arange(len(dataset.training)))


@pytest.mark.parametrize(("classes", "said"), [((), "found none"), (("cat",), "found cat")])
def test_a_folder_without_two_classes_is_refused(tmp_path: Path, classes: tuple[str, ...], said: str):
    fill(tmp_path, 30, classes)
    with pytest.raises(JobError, match=said):
        read_dataset(f"folder:{tmp_path}", 16)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(JobError, match="no such folder"):
        read_dataset(f"folder:{tmp_path / 'none'}", 16)


def test_a_class_without_an_image_to_train_on_is_named(tmp_path: Path):
    fill(tmp_path / "train", 20)
    fill(tmp_path / "test", 5, ("cat", "dog", "newt"))
    with pytest.raises(JobError, match="no image to train on in newt"):
        read_dataset(f"folder:{tmp_path}", 16)
