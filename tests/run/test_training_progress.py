"""What a person sees of a training, on a terminal and away from one."""

import re
import sys

import pytest

from bench.measure.fit import Fit
from bench.plan.recipe import recipe
from bench.records.accuracy import EpochCurve
from bench.run.training_progress import TrainingProgress

EPOCH = EpochCurve(
    elapsed_seconds=3.0, training_seconds=2.0, training_loss=1.5, validation_loss=1.25, validation_score=0.625
)


def test_an_epoch_is_one_line_with_the_images_a_second_of_its_training(capsys: pytest.CaptureFixture[str]):
    with TrainingProgress() as progress:
        progress.begin(recipe("baseline"), 64, None)
        for number in range(1, 26):
            progress.step(number, 25, lambda: 1.5)
        progress.epoch(Fit(epochs=(EPOCH,)))
    said = capsys.readouterr().out
    assert said.startswith(
        "epoch 1 of 12 (all): training loss 1.5000, validation loss 1.2500, score 62.5%, best so far; 800 img/s, "
    )
    assert said.endswith(" left at most\n")


def test_the_bar_shows_the_loss_the_speed_and_the_newest_score(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("bench.run.training_progress._EVERY_SECONDS", 0)
    with TrainingProgress() as progress:
        progress.begin(recipe("baseline"), 64, None)
        progress.step(1, 25, lambda: 1.5)
        progress.epoch(Fit(epochs=(EPOCH,)))
        for number in (1, 2):
            progress.step(number, 25, lambda: 1.25)
        assert progress._bar is not None
        (task,) = progress._bar.tasks
    assert task.description == "epoch 2 of 12"
    assert re.fullmatch(r"loss 1\.250, [\d,]+ img/s, score 62\.5% after epoch 1", task.fields["said"])
