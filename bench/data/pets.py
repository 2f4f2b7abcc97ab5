"""Oxford-IIIT Pet: images whose names begin with the breed, with the authors' lists as text."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.parts import held_out_files, of_classes

Listed = list[tuple[Path, int]]


def read(folder: Path, image_size: int) -> Dataset:
    """Return the pets with the authors' test; a tenth of their trainval becomes validation. Classes keep their order."""
    training, test = (_listed(folder, name) for name in ("trainval.txt", "test.txt"))
    breeds = {number: _breed(file) for file, number in training + test}
    classes = [breeds[number] for number in sorted(breeds)]
    kept, held = held_out_files([(file, breeds[number]) for file, number in training])
    parts = {"training": kept, "validation": held, "test": [(file, breeds[number]) for file, number in test]}
    return of_classes(classes, parts, image_size, folder)


def _listed(folder: Path, name: str) -> Listed:
    """Return the images of a list with their classes' numbers; a line reads: Abyssinian_100 1 1 1."""
    lines = (folder / "annotations" / "annotations" / name).read_text().splitlines()
    found = [line.split() for line in lines if line and not line.startswith("#")]
    return [(folder / "images" / "images" / f"{stem}.jpg", int(number)) for stem, number, *_ in found]


def _breed(file: Path) -> str:
    return file.stem.rpartition("_")[0].replace("_", " ")
