"""What a training leaves to look at."""

from pathlib import Path
from typing import Any

import pytest

from bench.records.accuracy import EpochCurve
from bench.report import plots


def test_the_curve_says_that_its_two_losses_are_different_quantities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[Any] = []
    make = plots._figure
    monkeypatch.setattr(plots, "_figure", lambda *size: drawn.append(make(*size)) or drawn[-1])
    epoch = EpochCurve(elapsed_seconds=1.0, training_loss=1.0, validation_loss=2.0, validation_score=0.5)
    plots.write_curve(tmp_path, [epoch, epoch])
    legend = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert legend == ["training: the recipe's loss, of augmented images", "validation: plain cross-entropy, in nats"]
    assert (tmp_path / "curve.png").stat().st_size > 0
