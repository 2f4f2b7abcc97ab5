"""Images that cannot be decoded: found, and left out where a person asks for it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset, FileSplit, Split, subset
from bench.data.decode import decode
from bench.errors import JobError

_SMALL = 8  # Pixels; a JPEG is still read to its end, but at an eighth of its size.


def readable(dataset: Dataset, report: Callable[[str], None]) -> Dataset:
    """Return a data set without the images that cannot be decoded; `report` gets one line for each, with its name.

    Decodes every image once. Raises `JobError` where a split has none left.
    """
    return Dataset(
        classes=dataset.classes,
        training=readable_split("training", dataset.training, report),
        validation=readable_split("validation", dataset.validation, report),
        test=readable_split("test", dataset.test, report),
    )


def unreadable(files: tuple[Path, ...]) -> dict[int, str]:
    """Return the positions of the files that cannot be decoded, with what is wrong with each."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        problems = pool.map(_problem, files)
        return {position: problem for position, problem in enumerate(problems) if problem is not None}


def _problem(file: Path) -> str | None:
    try:
        decode(file, _SMALL)
    except JobError as error:
        return str(error)
    return None


def readable_split(part: str, split: Split, report: Callable[[str], None]) -> Split:
    """Return one split without the images that cannot be decoded; raise `JobError` where none is left."""
    if not isinstance(split, FileSplit):
        return split
    problems = unreadable(split.files)
    for problem in problems.values():
        report(problem)
    if len(problems) == len(split):
        raise JobError(f"none of the {len(split)} images of the {part} split can be decoded; the first: {problems[0]}")
    kept = [position for position in range(len(split)) if position not in problems]
    return subset(split, np.array(kept))
