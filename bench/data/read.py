"""Reading a data set by its name."""

import importlib
from collections.abc import Callable

from bench.data import cache
from bench.data.csv_file import read_csv
from bench.data.dataset import Dataset
from bench.data.folder import read_folder
from bench.errors import JobError
from bench.plan.cards import dataset_card, own_images


def read_dataset(name: str, image_size: int) -> Dataset:
    """Read a dataset by the name of its card, or one's own as `folder:PATH` or `csv:PATH`, `image_size` pixels square.

    Nothing is downloaded: what is not on the machine raises `Unavailable` with the command that brings it. Raises `JobError`,
    which names what was expected and is not there, for files laid out otherwise.
    """
    try:
        return _read(name, image_size)
    except OSError as error:
        said = f"{error.filename}: {error.strerror}"
        if own_images(name)[1] is None:
            said = f"{name} is not laid out as published: {said}; remove what was unpacked, and type: bench download {name}"
        raise JobError(said) from None


def _read(name: str, image_size: int) -> Dataset:
    kind, path = own_images(name)
    if path is not None:
        return read_folder(path, image_size) if kind == "folder" else read_csv(path, image_size)
    card = dataset_card(name)
    module, _, function = card.reader.partition(":")
    reader: Callable[..., Dataset] = getattr(importlib.import_module(module), function)
    if card.files:
        return reader(cache.demand(name, card), image_size, **card.arguments)
    return reader(image_size, **card.arguments)
