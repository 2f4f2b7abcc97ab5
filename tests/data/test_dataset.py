"""Splits: whole images and boxes of them, from arrays, files and repeated."""

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.dataset import ArraySplit, Dataset, FileSplit, RepeatedSplit, Split, spread, subset
from bench.data.decode import scaler

SOURCE = np.random.default_rng(0)


def test_an_array_is_cut_to_the_box_that_each_image_is_asked_for():
    images = SOURCE.integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    split = ArraySplit(lambda: images, np.arange(3))
    whole = split.crop(np.array([2, 0]), lambda height, width: (0, 0, height, width), scaler(16))
    assert np.array_equal(whole, images[[2, 0]])
    part = split.crop(np.array([1]), lambda height, width: (4, 8, 8, 8), scaler(16))
    expected = Image.fromarray(images[1][4:12, 8:16]).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(part[0], np.asarray(expected))


def test_files_are_cut_alike(tmp_path: Path):
    pixels = SOURCE.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "it.png")
    split = FileSplit((tmp_path / "it.png",), np.zeros(1, np.int64), 8)
    found = split.crop(np.array([0, 0]), lambda height, width: (height - 8, width - 8, 8, 8), scaler(8))
    assert found.shape == (2, 8, 8, 3)
    assert np.array_equal(found[0], pixels[16:, 24:])


def test_a_repeated_split_begins_again_with_images_boxes_and_labels_of_either_form():
    images = SOURCE.integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
    for labels in (np.arange(3), np.eye(3, dtype=np.int64)):
        split = RepeatedSplit(ArraySplit(lambda: images, labels), 7)
        assert len(split) == 9
        assert np.array_equal(split.labels[4], labels[1])
        assert np.array_equal(split.batch(np.array([4])), images[[1]])
        box = split.crop(np.array([5]), lambda height, width: (0, 0, height, width), scaler(8))
        assert np.array_equal(box, images[[2]])


def test_a_few_images_are_of_the_whole_split_each_once(tmp_path: Path):
    images = SOURCE.integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
    files = tuple(tmp_path / f"{number}.png" for number in range(10))
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    for split in (ArraySplit(lambda: images, np.arange(10)), FileSplit(files, np.arange(10), 8)):
        chosen: Split = subset(split, spread(split, 4))
        assert chosen.labels.tolist() == [0, 3, 6, 9]
        assert np.array_equal(chosen.batch(np.arange(4)), images[[0, 3, 6, 9]])
        assert spread(split, 99).tolist() == list(range(10))


def test_several_labels_is_told_by_the_form_of_the_labels():
    def dataset(labels: np.ndarray) -> Dataset:
        split = ArraySplit(lambda: np.zeros((2, 8, 8, 3), np.uint8), labels)
        return Dataset(classes=("a", "b"), training=split, validation=split, test=split)

    assert not dataset(np.array([0, 1])).several_labels
    assert dataset(np.array([[0, 1], [1, 1]])).several_labels
