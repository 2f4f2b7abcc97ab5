"""A folder of images: one folder a class, or train, val and test folders that each hold one folder a class."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.parts import PARTS, Labelled, deal, held_out_files, labelled, of_classes
from bench.errors import JobError

_HELD_OUT = 0.125


def read_folder(folder: Path, image_size: int, share: float = _HELD_OUT) -> Dataset:
    """Return the images below a folder; raise `JobError` where it holds none, one class only, or an empty split.

    Without train, val and test folders each file falls to training, validation or test (70, 10, 20 %) by a hash of its
    class and name, so that an added file moves no other. Of a train folder with a val but no test folder, as ImageNet
    and Imagenette have it, val is the test and a share of train becomes validation; with a test but no val folder too.
    """
    if not folder.is_dir():
        raise JobError(f"{folder}: no such folder")
    parts = _given_parts(folder, share) or deal(labelled(folder), lambda item: f"{item[1]}/{item[0].name}")
    classes = tuple(sorted({label for files in parts.values() for _, label in files}))
    if len(classes) < 2:
        raise JobError(f"{folder}: needs one sub-folder a class, at least two; found {', '.join(classes) or 'none'}")
    return of_classes(classes, parts, image_size, folder)


def read_unpacked(folder: Path, image_size: int, inside: str) -> Dataset:
    """Return the images of a data set whose archive holds a folder of images in `inside`."""
    return read_folder(folder / inside, image_size, share=0.1)


def _given_parts(folder: Path, share: float) -> dict[str, Labelled] | None:
    found = {
        part: next((folder / name for name in names if (folder / name).is_dir()), None) for part, names in PARTS.items()
    }
    if not any(found.values()):
        return None
    if found["test"] is None:
        found |= {"test": found["validation"], "validation": None}
    if found["training"] is None or found["test"] is None:
        there = ", ".join(place.name for place in found.values() if place)
        raise JobError(
            f"{folder}: has {there}, but needs train and test, or train and val, with one sub-folder a class each"
        )
    parts = {part: labelled(place) for part, place in found.items() if place is not None}
    if "validation" not in parts:
        parts["training"], parts["validation"] = held_out_files(parts["training"], share)
    return parts
