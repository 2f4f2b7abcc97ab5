"""Stanford Dogs: one folder a breed, with the authors' lists in MATLAB files."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.matlab import load
from bench.data.parts import Labelled, held_out_files, of_classes


def read(folder: Path, image_size: int) -> Dataset:
    """Return the dogs with the authors' test; a tenth of their training images becomes validation."""
    kept, held = held_out_files(_listed(folder, "train_list.mat"))
    test = _listed(folder, "test_list.mat")
    classes = sorted({label for _, label in kept + held + test})
    return of_classes(classes, {"training": kept, "validation": held, "test": test}, image_size, folder)


def _listed(folder: Path, name: str) -> Labelled:
    """Return the images of a list, each named as n02085620-Chihuahua/n02085620_5927.jpg."""
    listed = [str(line) for line in load(folder / "lists" / name)["file_list"]]
    images = folder / "images" / "Images"
    return [(images / line, line.partition("/")[0].partition("-")[2]) for line in listed]
