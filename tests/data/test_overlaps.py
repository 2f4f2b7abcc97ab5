"""The same image in two splits is found, whether the bytes are the same or the pixels alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import ArraySplit, Dataset, PixelSplit
from bench.data.overlaps import describe, overlapping_images, overlaps
from bench.data.read import read_dataset

SOURCE = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val", "test"):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(4):
                pixels = SOURCE.integers(0, 255, (9, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    return tmp_path


def test_a_copied_file_is_found_by_its_bytes_without_decoding(folder: Path):
    assert overlaps(read_dataset(f"folder:{folder}", 8), pixels=True) == ()
    shutil.copy(folder / "train" / "cat" / "1.png", folder / "test" / "dog" / "other.png")
    (folder / "val" / "dog" / "0.png").write_bytes(b"broken")
    (found,) = overlaps(read_dataset(f"folder:{folder}", 8))
    assert (found.kind, found.splits) == ("bytes", ("training", "test"))
    assert found.images == (str(folder / "train" / "cat" / "1.png"), str(folder / "test" / "dog" / "other.png"))
    assert overlaps(read_dataset(f"folder:{folder}", 8), pixels=True) == (found,), "told once, not for its pixels again"


def test_the_same_pixels_in_another_file_are_found_when_asked_for(folder: Path):
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.open(folder / "val" / "cat" / "0.png")
    image.rotate(180).save(folder / "test" / "cat" / "turned.png", exif=exif)
    image.save(folder / "test" / "dog" / "it.bmp")
    dataset = read_dataset(f"folder:{folder}", 8)
    assert overlaps(dataset) == ()
    found = overlaps(dataset, pixels=True)
    assert [(one.kind, one.splits) for one in found] == [("pixels", ("validation", "test"))] * 2
    assert {Path(one.images[1]).name for one in found} == {"turned.png", "it.bmp"}
    assert "images in two splits: 2 with the same pixels; the first: " in describe(found)


def test_an_image_in_two_earlier_splits_counts_once(folder: Path):
    for part in ("val", "test"):
        shutil.copy(folder / "train" / "cat" / "1.png", folder / part / "cat" / "again.png")
    found = overlaps(read_dataset(f"folder:{folder}", 8))
    assert len(found) == 3
    assert overlapping_images(found) == 2


def test_deep_pictures_that_differ_beyond_eight_bits_are_not_the_same(folder: Path):
    for part, level in (("train", 40000), ("test", 50000)):
        Image.fromarray(np.full((9, 9), level, np.uint16)).save(folder / part / "cat" / "deep.png")
    assert overlaps(read_dataset(f"folder:{folder}", 8), pixels=True) == ()


@pytest.mark.parametrize("kind", [ArraySplit, PixelSplit])
def test_images_in_memory_are_compared_by_their_pixels(kind: type):
    images = SOURCE.integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)

    def split(*numbers: int) -> ArraySplit | PixelSplit:
        labels = np.zeros(len(numbers), np.int64)
        chosen = images[list(numbers)]
        return ArraySplit(lambda: chosen, labels) if kind is ArraySplit else PixelSplit(chosen, labels, 4)

    dataset = Dataset(classes=("a", "b"), training=split(0, 1, 2, 1), validation=split(3, 1), test=split(4, 2, 2))
    found = [(one.splits, one.images) for one in overlaps(dataset)]
    assert found == [
        (("training", "validation"), ("image 1", "image 1")),
        (("training", "test"), ("image 2", "image 1")),
        (("training", "test"), ("image 2", "image 2")),
    ]


@pytest.mark.parametrize("name", ["digits", "digits-lower", "digits-upper-few", "digits-multilabel"])
def test_what_comes_with_the_installation_has_none(name: str):
    assert overlaps(read_dataset(name, 32)) == ()
