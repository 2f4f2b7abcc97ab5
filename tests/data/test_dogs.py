"""Stanford Dogs are read by the authors' MATLAB lists, whose names are cells of text."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

from bench.data.read import read_dataset

BREEDS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02105855-Shetland_sheepdog")


def write_list(file: Path, names: list[str]) -> None:
    cells = np.array([[name] for name in names], dtype=object)
    numbers = np.array([[BREEDS.index(name.partition("/")[0]) + 1] for name in names])
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"file_list": cells, "annotation_list": cells, "labels": numbers})


def test_lists_name_folders_and_files(data_cache: Path, write_image, levels, class_names):
    folder = data_cache / "stanford-dogs"
    training = [f"{breed}/{breed.partition('-')[0]}_{number}.jpg" for breed in BREEDS for number in range(20)]
    test = [f"{BREEDS[2]}/n02105855_99.jpg", f"{BREEDS[0]}/n02085620_98.jpg"]
    for level, name in enumerate(training + test, start=20):
        write_image(folder / "images" / "Images" / name, level)
    write_list(folder / "lists" / "train_list.mat", training)
    write_list(folder / "lists" / "test_list.mat", test)
    dataset = read_dataset("stanford-dogs", 16)
    assert dataset.classes == ("Chihuahua", "Japanese_spaniel", "Shetland_sheepdog")
    assert class_names(dataset.test, dataset) == ["Shetland_sheepdog", "Chihuahua"]
    assert levels(dataset.test) == [80, 81]
    assert sorted(levels(dataset.training) + levels(dataset.validation)) == list(range(20, 80))
    assert len(dataset.validation) > 0
