"""What a reader returns: three splits of labelled images."""

import hashlib
import importlib
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.plan.cards import dataset_card


class Split:
    """Labelled images, all in memory. `images` is uint8 in [n, size, size, 3], `labels` int64 in [n]."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices`, uint8 in [n, size, size, 3]."""
        return self.images[indices]

    @cached_property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 over what identifies the images, and the labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()[:12]


class FileSplit(Split):
    """Labelled image files, decoded when asked for."""

    def __init__(self, files: tuple[Path, ...], labels: NDArray[np.int64], image_size: int) -> None:
        self.files = files
        self.labels = labels
        self.image_size = image_size

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        from bench.data.decode import decode

        return np.stack([decode(self.files[index], self.image_size) for index in indices])

    @cached_property
    def hash(self) -> str:
        described = "".join(f"{file.name} {file.stat().st_size}\n" for file in self.files)
        return hashlib.sha256(described.encode() + self.labels.tobytes()).hexdigest()[:12]


class Dataset:
    """Training, validation and test splits that share their classes."""

    def __init__(self, *, classes: tuple[str, ...], training: Split, validation: Split, test: Split) -> None:
        self.classes = classes
        self.training = training
        self.validation = validation
        self.test = test


class Reader(Protocol):
    def __call__(self, image_size: int) -> Dataset: ...


def read_dataset(name: str, image_size: int) -> Dataset:
    """Read a dataset by the name of its card, or a folder of images as `folder:PATH`; images are `image_size` pixels square."""
    if name.startswith("folder:"):
        from bench.data.folder import read_folder

        return read_folder(Path(name.removeprefix("folder:")), image_size)
    module, _, function = dataset_card(name).reader.partition(":")
    reader: Reader = getattr(importlib.import_module(module), function)
    return reader(image_size)
