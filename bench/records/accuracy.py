"""How good a trained model is: the figures of one label an image, and of several."""

from typing import Literal

import msgspec


class EpochCurve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state after one epoch; `elapsed_seconds` counts training and validation from the beginning.

    `trained`: every layer, or the new classifier alone. `wait_seconds` of `training_seconds` went by before a batch was in
    hand. `training_loss`: the recipe's own, smoothed, weighted or focal, of images augmented and mixed as that says;
    `validation_loss`: plain cross-entropy in nats, binary with several labels. `validation_score`: the top-1, or of several
    labels the mean average precision, in [0, 1].
    """

    trained: Literal["head", "all"] = "all"
    elapsed_seconds: float
    training_seconds: float | None = None
    wait_seconds: float | None = None
    training_loss: float
    validation_loss: float
    validation_score: float


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="accuracy", tag_field="kind"):
    """Shares in [0, 1]. `best_epoch` counts from 1 and was chosen on validation; the test split was seen once.

    `overlapping_images`: those of validation and test that are in an earlier split too; None where nobody looked.
    """

    test_top1: float
    test_top5: float | None
    epochs: tuple[EpochCurve, ...]
    best_epoch: int
    training_images: int
    validation_images: int
    test_images: int
    split_hashes: tuple[str, str, str]
    skipped_steps: int | None
    overlapping_images: int | None = None


class LabelScores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How good several labels an image are; shares in [0, 1], of which a low `hamming_loss` is good.

    F1 of one class each, of all labels together (micro), and the mean over classes (macro).
    """

    hamming_loss: float
    subset_accuracy: float
    micro_f1: float
    macro_f1: float
    class_f1: tuple[float, ...]


class MultiLabelAccuracy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="multi_label", tag_field="kind"
):
    """Accuracy where an image may have several labels.

    `thresholds` on the classes' probabilities were chosen on validation for F1; beside their scores stand those at one half.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    validation_at_half: LabelScores
    validation_at_chosen: LabelScores
    test_at_half: LabelScores
    test_at_chosen: LabelScores
    test_mean_average_precision: float
    epochs: tuple[EpochCurve, ...]
    best_epoch: int
    training_images: int
    validation_images: int
    test_images: int
    split_hashes: tuple[str, str, str]
    skipped_steps: int | None
    overlapping_images: int | None = None
