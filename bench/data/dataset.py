"""What a reader returns: three splits of labelled images."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data.decode import Choose, Scale, centred, crop, decode, decode_crop, scaler
from bench.errors import JobError


class Split(Protocol):
    """Labelled images.

    `labels` is int64: the numbers of classes in [n], or 0 and 1 in [n, classes] where an image may have several.
    `in_memory` says that no image has to be decoded or scaled when it is asked for.
    """

    labels: NDArray[np.int64]
    in_memory: bool

    def __len__(self) -> int: ...

    def __hash__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices`, uint8 in [n, size, size, 3]: each scaled to cover, cropped at the centre."""

    def crop(self, indices: NDArray[np.int64], choose: Choose, scale: Scale) -> NDArray[np.uint8]:
        """Return boxes of the images at `indices`, uint8 in [n, size, size, 3].

        `choose` gets an image's height and width and returns the box, as top, left, height, width; `scale` gets the box,
        uint8 in [height, width, 3], and returns it scaled to the size.
        """

    def hash(self) -> str:
        """Return the first 12 hexadecimal digits of the SHA-256 over what identifies the images, and the labels."""


class ArraySplit:
    """Images in one array, made when first asked for: a measurement seldom looks at every split."""

    in_memory = True

    def __init__(self, make_images: Callable[[], NDArray[np.uint8]], labels: NDArray[np.int64]) -> None:
        self._make_images = make_images
        self.labels = labels

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        return self._make_images()

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.images[indices]

    def crop(self, indices: NDArray[np.int64], choose: Choose, scale: Scale) -> NDArray[np.uint8]:
        return np.stack([scale(crop(self.images[index], choose)) for index in indices])

    def hash(self) -> str:
        return _digest(self.images.tobytes(), self.labels)


class PixelSplit:
    """Images kept at their own size, uint8 in [n, height, width, 3], and scaled to `image_size` when asked for."""

    def __init__(self, originals: NDArray[np.uint8], labels: NDArray[np.int64], image_size: int) -> None:
        self.originals = originals
        self.labels = labels
        self.image_size = image_size
        self.in_memory = originals.shape[1:3] == (image_size, image_size)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.originals[indices] if self.in_memory else self.crop(indices, centred, scaler(self.image_size))

    def crop(self, indices: NDArray[np.int64], choose: Choose, scale: Scale) -> NDArray[np.uint8]:
        return np.stack([scale(crop(self.originals[index], choose)) for index in indices])

    def hash(self) -> str:
        return _digest(self.originals.tobytes(), self.labels)


class FileSplit:
    """Image files, decoded when asked for."""

    in_memory = False

    def __init__(self, files: tuple[Path, ...], labels: NDArray[np.int64], image_size: int) -> None:
        self.files = files
        self.labels = labels
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([decode(self.files[index], self.image_size) for index in indices])

    def crop(self, indices: NDArray[np.int64], choose: Choose, scale: Scale) -> NDArray[np.uint8]:
        return np.stack([decode_crop(self.files[index], self.image_size, choose, scale) for index in indices])

    def hash(self) -> str:
        try:
            listing = "".join(f"{file.name} {file.stat().st_size}\n" for file in self.files)
        except OSError as error:
            raise JobError(f"{error.filename}: {error.strerror}") from error
        return _digest(listing.encode(), self.labels)


class RepeatedSplit:
    """A split repeated to at least `length` images, for timing batches larger than the split; never for accuracy."""

    def __init__(self, split: Split, length: int) -> None:
        self._split = split
        self.in_memory = split.in_memory
        self.labels = np.concatenate([split.labels] * -(-length // len(split)))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._split.batch(indices % len(self._split))

    def crop(self, indices: NDArray[np.int64], choose: Choose, scale: Scale) -> NDArray[np.uint8]:
        return self._split.crop(indices % len(self._split), choose, scale)

    def hash(self) -> str:
        return self._split.hash()


def spread(split: Split, count: int) -> NDArray[np.int64]:
    """Return the positions of `count` images evenly spread over a split, or of all: its first ones may be of one class alone."""
    return np.linspace(0, len(split) - 1, min(len(split), count)).astype(np.int64)


def subset(split: Split, positions: NDArray[np.int64]) -> Split:
    """Return the images at these positions."""
    if isinstance(split, FileSplit):
        files = tuple(split.files[position] for position in positions)
        return FileSplit(files, split.labels[positions], split.image_size)
    return ArraySplit(lambda: split.batch(positions), split.labels[positions])


def _digest(content: bytes, labels: NDArray[np.int64]) -> str:
    return hashlib.sha256(content + labels.tobytes()).hexdigest()[:12]


class Dataset:
    """Training, validation and test splits that share their classes."""

    def __init__(self, *, classes: tuple[str, ...], training: Split, validation: Split, test: Split) -> None:
        self.classes = classes
        self.training = training
        self.validation = validation
        self.test = test

    @property
    def several_labels(self) -> bool:
        """Whether an image may have several labels, or none: then labels are 0 and 1 in [n, classes]."""
        return self.training.labels.ndim == 2


def image_name(split: Split, index: int) -> str:
    """Return the file of an image, or its number where it has none."""
    return str(split.files[index]) if isinstance(split, FileSplit) else f"image {index}"
