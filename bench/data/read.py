"""Reading a data set by its name."""

import importlib
from pathlib import Path
from typing import Protocol

from bench.data.dataset import Dataset
from bench.data.folder import read_folder
from bench.plan.cards import dataset_card


class Reader(Protocol):
    def __call__(self, image_size: int) -> Dataset: ...


def read_dataset(name: str, image_size: int) -> Dataset:
    """Read a dataset by the name of its card, or a folder of images as `folder:PATH`; images are `image_size` pixels square."""
    if name.startswith("folder:"):
        return read_folder(Path(name.removeprefix("folder:")), image_size)
    module, _, function = dataset_card(name).reader.partition(":")
    reader: Reader = getattr(importlib.import_module(module), function)
    return reader(image_size)
