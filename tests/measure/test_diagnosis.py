"""Messages for a model that does not learn."""

import numpy as np
import pytest

from bench.data.read import read_dataset
from bench.errors import JobError
from bench.measure.diagnosis import check_task, describe, flows, positive_weights
from bench.plan.recipe import recipe


def test_a_loss_for_several_labels_is_refused_where_images_have_one_and_the_other_way_round():
    with pytest.raises(
        JobError, match="the recipe's loss, bce, is for several labels an image, and the data set has one"
    ):
        check_task(recipe("multilabel"), read_dataset("digits", 8))
    with pytest.raises(JobError, match="take the recipe multilabel"):
        check_task(recipe("baseline"), read_dataset("digits-multilabel", 24))
    check_task(recipe("baseline"), read_dataset("digits", 8))


def test_gradients_are_told_in_words():
    assert describe({"a": 1.0, "b": 0.0}) == "no gradient reaches 1 of 2 weights (b)"
    assert "not finite in 1 of 2 weights (a)" in describe({"a": float("inf"), "b": 0.0})
    assert flows({"a": 1.0})
    assert not flows({"a": 1.0, "b": 0.0})
    many = {f"layer{n}": 0.0 for n in range(5)}
    assert describe(many).endswith("5 of 5 weights (layer0, layer1, layer2, …)")


def test_positive_weights_are_negatives_over_positives_of_the_training_split():
    dataset = read_dataset("digits-multilabel-imbalanced", 24)
    share = dataset.training.labels.mean(axis=0)
    np.testing.assert_allclose(positive_weights(dataset), (1 - share) / share)
    dataset.training.labels[:, 9] = 0
    with pytest.raises(JobError, match="no training image has the label 9"):
        positive_weights(dataset)
