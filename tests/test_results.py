"""What the committed results must show, whoever measured them."""

import pytest
from conftest import committed_results

import bench
from bench.records.accuracy import Accuracy
from bench.records.store import read_file

RESULTS = [file for file in committed_results() if file.name.startswith("quick-")]
SIDE_BY_SIDE = [file for file in committed_results() if file.name.startswith("frameworks-")]


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_every_trained_architecture_learns_digits_alike_everywhere(file):
    frame = bench.load(file)
    accuracies = frame[(frame.measurement == "accuracy") & (frame.status == "ok")]
    by_architecture = accuracies.groupby("architecture").test_top1
    assert len(by_architecture) >= 3
    assert (accuracies.groupby("architecture").framework.nunique() >= 2).all()
    assert (accuracies.groupby("architecture").precision.nunique() == 2).all()
    assert (by_architecture.min() >= 0.97).all()
    assert (by_architecture.max() - by_architecture.min() <= 0.02).all()


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_throughput_rows_cover_what_quick_promises(file):
    frame = bench.load(file)
    rates = frame[(frame.measurement == "inference") & (frame.status == "ok")]
    assert rates.architecture.nunique() >= 6
    assert rates.framework.nunique() >= 3
    assert rates[rates.framework == "keras-tensorflow"].architecture.nunique() >= 3
    assert rates.precision.nunique() >= 2
    assert (rates.inference_images_per_second > 0).all()


@pytest.mark.parametrize("file", SIDE_BY_SIDE, ids=lambda file: file.stem)
def test_every_framework_learns_digits_alike(file):
    frame = bench.load(file)
    accuracies = frame[(frame.measurement == "accuracy") & (frame.status == "ok")]
    assert accuracies.framework.nunique() == 5
    assert _splits(file) == 1
    assert accuracies.test_top1.min() >= 0.95
    means = accuracies.groupby("framework").test_top1.mean()
    assert means.max() - means.min() <= 0.02


def _splits(file):
    """Return how many different splits the accuracies of a file were measured on."""
    return len({record.figures.split_hashes for record in read_file(file) if isinstance(record.figures, Accuracy)})


def test_results_are_committed():
    assert RESULTS
    assert SIDE_BY_SIDE
