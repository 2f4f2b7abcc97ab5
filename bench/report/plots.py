"""What a training leaves to look at: its curve, and where it errs; drawn by matplotlib, without a screen."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.accuracy import EpochCurve, MultiLabelAccuracy
from bench.records.trained import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 120
# More classes than this and a number in each square could not be read.
_NUMBERED = 25
_CURVE = ("epoch", *EpochCurve.__struct_fields__)


def write_curve(folder: Path, epochs: Sequence[EpochCurve]) -> None:
    """Write curve.csv and curve.png: losses, the score, and the share of the time that went by waiting for data."""
    with (folder / "curve.csv").open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(_CURVE)
        rows.writerows(
            (number, *(getattr(epoch, name) for name in _CURVE[1:])) for number, epoch in enumerate(epochs, start=1)
        )
    figure = _figure(9, 3.5)
    losses, scores = figure.subplots(1, 2)
    numbers = range(1, len(epochs) + 1)
    for values, label in (
        ([epoch.training_loss for epoch in epochs], "training: the recipe's loss, of augmented images"),
        ([epoch.validation_loss for epoch in epochs], "validation: plain cross-entropy, in nats"),
    ):
        losses.plot(numbers, values, marker=".", label=label)
    losses.set(xlabel="epoch", ylabel="loss")
    losses.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    scores.plot(numbers, [100 * epoch.validation_score for epoch in epochs], marker=".", color="tab:orange")
    scores.set(xlabel="epoch", ylabel="score on validation, %")
    for axes in (losses, scores):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.savefig(folder / "curve.png", dpi=_DOTS_PER_INCH)


def write_figures(folder: Path, classes: Sequence[str], metrics: Metrics) -> None:
    """Write confusion.png, or class_f1.png where an image may have several labels."""
    if isinstance(metrics.figures, MultiLabelAccuracy):
        _class_f1(classes, metrics.figures).savefig(folder / "class_f1.png", dpi=_DOTS_PER_INCH)
    else:
        assert metrics.confusion is not None, "every training with one label an image has it"
        _confusion(classes, metrics.confusion).savefig(folder / "confusion.png", dpi=_DOTS_PER_INCH)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # A second and more to import.

    return Figure((width, height), layout="constrained")


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> "Figure":
    side = min(16.0, max(4.5, 0.45 * len(classes)))
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), label="share of the true class")
    _name(axes, classes)
    axes.set(xlabel="said", ylabel="true")
    if len(classes) <= _NUMBERED:
        for y, row in enumerate(counts):
            for x, count in enumerate(row):
                colour = "white" if shares[y][x] > 0.5 else "black"
                axes.text(x, y, str(count or ""), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _name(axes: "Axes", classes: Sequence[str]) -> None:
    numbers = range(len(classes))
    size = 9 if len(classes) <= _NUMBERED else 5
    axes.set_xticks(numbers, classes, rotation=90, fontsize=size)
    axes.set_yticks(numbers, classes, fontsize=size)


def _class_f1(classes: Sequence[str], figures: MultiLabelAccuracy) -> "Figure":
    figure = _figure(7, max(3.0, 0.32 * len(classes) + 1.2))
    axes = figure.subplots()
    numbers = range(len(classes))
    for shift, scores, name in (
        (-0.2, figures.test_at_half, "threshold of one half"),
        (0.2, figures.test_at_chosen, "threshold chosen on validation"),
    ):
        axes.barh([number + shift for number in numbers], scores.class_f1, height=0.4, label=name)
    axes.set_yticks(numbers, classes)
    axes.invert_yaxis()
    axes.set(xlabel="F1 on the test split", xlim=(0, 1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return figure
