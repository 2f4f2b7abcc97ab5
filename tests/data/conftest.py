"""What the readers' tests share: a cache of their own, and pictures whose colour says which they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset, Split

Write = Callable[[Path, int], None]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which data sets lie for this test."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write_image() -> Write:
    """Return a function that writes a picture of one grey level."""

    def write(file: Path, level: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (level, level, level)).save(file, quality=95)

    return write


@pytest.fixture
def levels() -> Callable[[Split], list[int]]:
    """Return a function that reads the grey levels of a split's pictures."""

    def read(split: Split) -> list[int]:
        pixels: NDArray[np.uint8] = split.batch(np.arange(len(split)))
        return [int(level) for level in pixels.mean(axis=(1, 2, 3)).round()]

    return read


@pytest.fixture
def names() -> Callable[[Split, Dataset], list[str]]:
    """Return a function that names the classes of a split's pictures."""
    return lambda split, dataset: [dataset.classes[number] for number in split.labels]
