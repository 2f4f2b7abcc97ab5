"""CIFAR-10 and CIFAR-100: 60,000 images of 32×32 pixels in pickles that Python 2 wrote."""

import pickle
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Dataset, PixelSplit
from bench.data.parts import hold_out
from bench.errors import JobError


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files of one of the two lie, and the keys that they use."""

    folder: str
    training: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str


_KINDS = {
    "cifar10": _Kind(
        folder="cifar-10-batches-py",
        training=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        labels="labels",
        names="label_names",
    ),
    "cifar100": _Kind(
        folder="cifar-100-python",
        training=("train",),
        test="test",
        meta="meta",
        labels="fine_labels",
        names="fine_label_names",
    ),
}


def read(folder: Path, image_size: int, kind: Literal["cifar10", "cifar100"]) -> Dataset:
    """Return CIFAR with the authors' test; a tenth of the training images becomes validation, by their numbers."""
    form = _KINDS[kind]
    inside = folder / "python" / form.folder
    classes = tuple(_load(inside / form.meta)[form.names])
    images, labels = _read([inside / name for name in form.training], form.labels)
    kept, held = hold_out(range(len(labels)), str)
    return Dataset(
        classes=classes,
        training=PixelSplit(images[kept], labels[kept], image_size),
        validation=PixelSplit(images[held], labels[held], image_size),
        test=PixelSplit(*_read([inside / form.test], form.labels), image_size),
    )


def _read(files: list[Path], labels: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images of some batches in [n, 32, 32, 3], and their labels in [n]."""
    batches = [_load(file) for file in files]
    planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    numbers = np.concatenate([np.asarray(batch[labels], dtype=np.int64) for batch in batches])
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), numbers


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain values; a pickle that names anything else, which might be made to run, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"it names {module}.{name}, and images need no such thing")


def _load(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            found: dict[str, Any] = _ArraysOnly(opened, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, OSError) as error:
        raise JobError(f"{file}: cannot be read: {error}") from error
    return found
