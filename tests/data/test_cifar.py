"""CIFAR is read from pickles as Python 2 wrote them, and from nothing that could run."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.decode import scaler
from bench.data.read import read_dataset
from bench.errors import JobError


def python_2(value: object) -> bytes:
    """Return the opcodes by which Python 2's cPickle wrote a value in protocol 2: its strings were bytes."""
    match value:
        case dict():
            items = b"".join(python_2(key) + python_2(item) for key, item in value.items())
            return b"}(" + items + b"u"
        case list():
            return b"](" + b"".join(map(python_2, value)) + b"e"
        case str():
            return b"U" + bytes([len(value)]) + value.encode()
        case int():
            return b"J" + struct.pack("<i", value)
        case np.ndarray():
            rows, columns = value.shape
            made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
            dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            data = b"T" + struct.pack("<i", value.size) + value.tobytes()
            return made + b"(K\x01" + python_2(rows) + python_2(columns) + b"\x86" + dtype + b"\x89" + data + b"tb"
    raise TypeError(type(value))


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x80\x02" + python_2(value) + b".")


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def as_pixels(row: np.ndarray) -> np.ndarray:
    """A row holds 1,024 reds, then greens, then blues, each line by line."""
    return np.stack([row[:1024].reshape(32, 32), row[1024:2048].reshape(32, 32), row[2048:].reshape(32, 32)], axis=-1)


@pytest.fixture
def cifar10(data_cache: Path) -> Path:
    folder = data_cache / "cifar10" / "python" / "cifar-10-batches-py"
    for number in range(1, 6):
        batch = {"batch_label": "it", "labels": [number % 3] * 20, "data": images(20, number)}
        write(folder / f"data_batch_{number}", batch)
    write(folder / "test_batch", {"labels": [2, 0], "data": images(2, 0)})
    write(folder / "batches.meta", {"label_names": ["airplane", "automobile", "bird"]})
    return folder


def test_the_authors_test_is_the_test_and_a_tenth_of_training_is_validation(cifar10: Path):
    dataset = read_dataset("cifar10", 32)
    assert dataset.classes == ("airplane", "automobile", "bird")
    assert len(dataset.training) + len(dataset.validation) == 100
    assert 0 < len(dataset.validation) < 25
    assert list(dataset.test.labels) == [2, 0]
    assert np.array_equal(dataset.test.batch(np.array([1]))[0], as_pixels(images(2, 0)[1]))
    everything = [image.tobytes() for split in (dataset.training, dataset.validation) for image in split.originals]
    expected = [as_pixels(row).tobytes() for number in range(1, 6) for row in images(20, number)]
    assert sorted(everything) == sorted(expected)
    assert [split.hash() for split in (dataset.training, dataset.test)] == [
        split.hash() for split in (read_dataset("cifar10", 64).training, read_dataset("cifar10", 64).test)
    ]


def test_images_are_scaled_when_asked_for_and_boxes_are_of_the_original(cifar10: Path):
    test = read_dataset("cifar10", 48).test
    assert not test.in_memory
    assert read_dataset("cifar10", 32).test.in_memory
    original = Image.fromarray(as_pixels(images(2, 0)[0]))
    expected = original.resize((48, 48), Image.Resampling.BILINEAR)
    assert np.array_equal(test.batch(np.array([0]))[0], np.asarray(expected))
    part = test.crop(np.array([0]), lambda height, width: (height - 8, 0, 8, 16), scaler(48))
    expected = original.crop((0, 24, 16, 32)).resize((48, 48), Image.Resampling.BILINEAR)
    assert np.array_equal(part[0], np.asarray(expected))


def test_cifar100_has_its_fine_labels(data_cache: Path):
    folder = data_cache / "cifar100" / "python" / "cifar-100-python"
    for name in ("train", "test"):
        count = 40 if name == "train" else 3
        write(folder / name, {"fine_labels": [1] * count, "coarse_labels": [0] * count, "data": images(count, 1)})
    write(folder / "meta", {"coarse_label_names": ["fish"], "fine_label_names": ["apple", "aquarium_fish"]})
    dataset = read_dataset("cifar100", 32)
    assert dataset.classes == ("apple", "aquarium_fish")
    assert list(dataset.test.labels) == [1, 1, 1]
    assert len(dataset.training) + len(dataset.validation) == 40


def test_a_pickle_that_would_run_something_is_refused(cifar10: Path, tmp_path: Path):
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "run",)

    (cifar10 / "test_batch").write_bytes(pickle.dumps({"data": Attack()}))
    with pytest.raises(JobError, match="test_batch: cannot be read: it names pathlib"):
        read_dataset("cifar10", 32)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02}", b"no pickle"])
def test_a_broken_batch_is_named(cifar10: Path, content: bytes):
    (cifar10 / "data_batch_3").write_bytes(content)
    with pytest.raises(JobError, match="data_batch_3: cannot be read"):
        read_dataset("cifar10", 32)
