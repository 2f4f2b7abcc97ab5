"""iNaturalist 2021, mini: one folder a species, named by number and taxonomy."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.parts import held_out_files, labelled, of_classes


def read(folder: Path, image_size: int) -> Dataset:
    """Return the species; the authors' validation is the test, for theirs has no labels, and a tenth of training validation.

    The folders say what the authors' JSON files say of a label; theirs begin with the number of the category.
    """
    kept, held = held_out_files(labelled(folder / "training" / "train_mini"))
    test = labelled(folder / "validation" / "val")
    classes = sorted({label for _, label in kept + held + test})
    return of_classes(classes, {"training": kept, "validation": held, "test": test}, image_size, folder)
