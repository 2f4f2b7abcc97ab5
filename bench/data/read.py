"""Reading a data set by its name."""

import importlib
from collections.abc import Callable

from bench.data import cache
from bench.data.csv_file import read_csv
from bench.data.dataset import Dataset
from bench.data.folder import read_folder
from bench.plan.cards import dataset_card, own_images


def read_dataset(name: str, image_size: int) -> Dataset:
    """Read a dataset by the name of its card, or one's own as `folder:PATH` or `csv:PATH`, `image_size` pixels square.

    Nothing is downloaded: what is not on the machine raises `Unavailable` with the command that brings it.
    """
    kind, path = own_images(name)
    if path is not None:
        return read_folder(path, image_size) if kind == "folder" else read_csv(path, image_size)
    card = dataset_card(name)
    module, _, function = card.reader.partition(":")
    reader: Callable[..., Dataset] = getattr(importlib.import_module(module), function)
    if card.files:
        return reader(cache.demand(name, card), image_size, **card.arguments)
    return reader(image_size, **card.arguments)
