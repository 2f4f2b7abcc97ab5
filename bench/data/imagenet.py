"""ImageNet-1k: one folder a class to train on, and a flat or a sorted folder of validation images."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.matlab import load
from bench.data.parts import SUFFIXES, Labelled, held_out_files, labelled, of_classes
from bench.errors import JobError

_HELD_OUT = 1 / 25  # Some 51,000 images: as many as the authors' own validation, which is the test here.


def read(folder: Path, image_size: int) -> Dataset:
    """Return ImageNet; the authors' validation is the test, for theirs has no labels, and one in 25 of training validation.

    Classes are WordNet's numbers in their order, as every published model has them.
    """
    kept, held = held_out_files(labelled(folder / "train"), _HELD_OUT)
    test = labelled(folder / "val") or _flat(folder / "val", folder / "devkit" / "ILSVRC2012_devkit_t12" / "data")
    classes = sorted({label for _, label in kept + held + test})
    return of_classes(classes, {"training": kept, "validation": held, "test": test}, image_size, folder)


def _flat(images: Path, devkit: Path) -> Labelled:
    """Return the validation images as the authors pack them: in one folder, labels in the development kit by order."""
    files = sorted(file for file in images.iterdir() if file.suffix.lower() in SUFFIXES)
    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    if not truth.exists():
        raise JobError(f"{images}: has no folder a class, and {truth} is not there; unpack the development kit")
    numbers = [int(line) for line in truth.read_text().split()]
    if len(numbers) != len(files):
        raise JobError(f"{images}: holds {len(files):,} images, but {truth} has {len(numbers):,} labels")
    synsets = load(devkit / "meta.mat")["synsets"]
    names = {int(number): str(name) for number, name in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)}
    return [(file, names[number]) for file, number in zip(files, numbers, strict=True)]
