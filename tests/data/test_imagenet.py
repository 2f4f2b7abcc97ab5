"""ImageNet: the validation images flat, with the development kit's labels by order, or sorted into folders."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from bench.data.read import read_dataset
from bench.errors import JobError

SYNSETS = ("n02119789", "n01440764", "n03841666")  # The development kit's own numbers are not in WordNet's order.


@pytest.fixture
def imagenet(data_cache: Path, write_image) -> Path:
    folder = data_cache / "imagenet"
    for place, synset in enumerate(SYNSETS):
        for number in range(60):
            write_image(folder / "train" / synset / f"{synset}_{number}.JPEG", 10 + 60 * place + number)
    (folder / "val").mkdir()
    (folder / "devkit").mkdir()
    return folder


def write_devkit(folder: Path, truth: list[int]) -> None:
    data = folder / "devkit" / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    kind = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")]
    rows = [(number, synset, "a fox", "a gloss", 0) for number, synset in enumerate(SYNSETS, start=1)]
    savemat(
        data / "meta.mat", {"synsets": np.array([*rows, (1001, "n00001740", "entity", "", 2)], dtype=kind)[:, None]}
    )
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth))


def test_flat_validation_images_have_the_development_kits_labels(imagenet: Path, write_image, levels, class_names):
    for number in (1, 2, 3):
        write_image(imagenet / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", 200 + number)
    write_devkit(imagenet, [2, 3, 1])
    dataset = read_dataset("imagenet", 16)
    assert dataset.classes == tuple(sorted(SYNSETS))
    assert levels(dataset.test) == [201, 202, 203]
    assert class_names(dataset.test, dataset) == ["n01440764", "n03841666", "n02119789"]
    assert sorted(levels(dataset.training) + levels(dataset.validation)) == list(range(10, 190))
    assert 0 < len(dataset.validation) < 25


def test_sorted_validation_images_need_no_kit(imagenet: Path, write_image, class_names):
    for synset in SYNSETS[:2]:
        write_image(imagenet / "val" / synset / "ILSVRC2012_val_00000001.JPEG", 9)
    dataset = read_dataset("imagenet", 16)
    assert class_names(dataset.test, dataset) == ["n01440764", "n02119789"]


def test_a_kit_that_is_not_there_or_does_not_fit_is_said(imagenet: Path, write_image):
    write_image(imagenet / "val" / "ILSVRC2012_val_00000001.JPEG", 9)
    with pytest.raises(JobError, match="unpack the development kit"):
        read_dataset("imagenet", 16)
    write_devkit(imagenet, [2, 3])
    with pytest.raises(JobError, match=r"holds 1 images, but .* has 2 labels"):
        read_dataset("imagenet", 16)
