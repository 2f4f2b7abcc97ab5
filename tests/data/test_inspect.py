"""An inspection sees every image: what is unusual is noted, what is wrong is a fault."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.inspect import inspect
from bench.data.read import read_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(5):
                pixels = source.integers(0, 255, (20, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    return tmp_path


def test_a_sound_folder_has_nothing_wrong(folder: Path):
    dataset = read_dataset(f"folder:{folder}", 8)
    found = inspect(dataset)
    assert found.faults == ()
    assert found.notes == ()
    assert found.modes == {"RGB": 30}
    assert found.sizes == ((30, 20),) * 3
    assert [(split.name, split.images, split.counts) for split in found.splits] == [
        (name, 10, (5, 5)) for name in ("training", "validation", "test")
    ]
    assert found.splits[0].hash == dataset.training.hash()


def test_unusual_pictures_are_noted_and_are_no_fault(folder: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    red = Image.new("RGB", (60, 40), "red")
    red.save(folder / "train" / "cat" / "turned.jpg", exif=exif)
    red.resize((70, 20)).save(folder / "train" / "cat" / "long.png")
    red.convert("CMYK").save(folder / "train" / "cat" / "print.jpg")
    Image.fromarray(np.full((5, 4), 40000, np.uint16)).save(folder / "train" / "dog" / "deep.png")
    for mode in ("1", "L", "LA", "P", "RGBA"):
        red.convert(mode).save(folder / "train" / "dog" / f"mode-{mode}.png")
    found = inspect(read_dataset(f"folder:{folder}", 8))
    assert found.faults == ()
    assert found.sizes == ((4, 5), (30, 20), (60, 40))
    notes = "\n".join(found.notes)
    for said in (
        "1 of 39 images are turned or mirrored by their EXIF tag; read upright",
        "1 of 39 images are CMYK, made for print",
        "1 of 39 images are of 16 bits a channel; read as 8",
        "1 of 39 images are black and white",
        "1 of 39 images are grey; read",
        "1 of 39 images are grey with transparency",
        "1 of 39 images are of a palette",
        "1 of 39 images are RGB with transparency",
        "1 of 39 images have a side of fewer than 16 pixels",
        "1 of 39 images are more than 3 times as long as wide",
    ):
        assert said in notes


def test_sixteen_bits_in_three_channels_are_noted_too(folder: Path):
    """Pillow reads such a file as 8 bits and calls it RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + b"\x80\x01" * 12 for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "train" / "cat" / "deep.png").write_bytes(png)
    assert "1 of 31 images are of 16 bits" in inspect(read_dataset(f"folder:{folder}", 8)).notes[0]


def test_broken_files_are_counted_and_named_up_to_twenty(folder: Path):
    for number in range(25):
        (folder / "train" / "cat" / f"broken{number:02d}.png").write_bytes(b"none")
    (fault,) = inspect(read_dataset(f"folder:{folder}", 8)).faults
    assert fault.startswith("25 of 55 images cannot be decoded:\n")
    assert fault.count("cannot be decoded: ") == 20
    assert fault.endswith("and 5 more")


def test_labels_and_duplicates_are_faults(folder: Path):
    shutil.copy(folder / "train" / "cat" / "1.png", folder / "test" / "cat" / "again.png")
    Image.open(folder / "val" / "dog" / "2.png").save(folder / "test" / "dog" / "again.bmp")
    dataset = read_dataset(f"folder:{folder}", 8)
    dataset.validation.labels = dataset.validation.labels + 1
    labels, duplicates = inspect(dataset).faults
    assert "validation: the label of" in labels
    said, *each = duplicates.splitlines()
    assert said == "images in two splits: 1 with the same bytes and 1 with the same pixels:"
    assert [line.partition(":")[0].strip() for line in each] == ["bytes", "pixels"]
    assert "train/cat/1.png (training) and " in each[0]
    assert "test/dog/again.bmp (test)" in each[1]


def test_a_file_that_is_not_there_is_named_and_its_split_has_no_hash(folder: Path):
    dataset = read_dataset(f"folder:{folder}", 8)
    (folder / "val" / "dog" / "4.png").unlink()
    found = inspect(dataset)
    assert "dog/4.png: cannot be decoded: No such file or directory" in found.faults[0]
    assert [split.hash is None for split in found.splits] == [False, True, False]


def test_images_in_memory_have_classes_and_hashes_but_no_modes():
    found = inspect(read_dataset("digits-multilabel", 16))
    assert found.faults == found.sizes == ()
    assert found.modes == {}
    assert found.splits[0].counts == tuple(read_dataset("digits-multilabel", 16).training.labels.sum(axis=0))
