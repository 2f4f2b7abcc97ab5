"""Sample pictures carry their labels in their names."""

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.read import read_dataset
from bench.data.samples import write_samples


def test_samples_are_images_of_the_test_split_named_by_their_labels(tmp_path: Path):
    dataset = read_dataset("digits-multilabel", 24)
    files = write_samples(dataset, tmp_path / "samples", 5)
    assert len(files) == 5
    for file in files:
        number, *labels = file.stem.split("-")
        np.testing.assert_array_equal(np.asarray(Image.open(file)), dataset.test.batch(np.array([int(number)]))[0])
        assert [int(label) for label in labels] == np.flatnonzero(dataset.test.labels[int(number)]).tolist()
    assert len(write_samples(read_dataset("digits", 8), tmp_path / "all", 10_000)) == 540
