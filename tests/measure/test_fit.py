"""One loop for every framework: which epoch answers, when a phase ends, and how a training goes on."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.data.dataset import ArraySplit, Dataset
from bench.errors import Diverged, JobError
from bench.frameworks.trial import Trial
from bench.measure.fit import Fit, fit
from bench.plan.recipe import Phase, Recipe, recipe
from bench.records.accuracy import EpochCurve

LABELS = np.arange(100) % 2
RECIPE = msgspec.structs.replace(recipe("baseline"), epochs=5)


def split(images: int) -> ArraySplit:
    return ArraySplit(lambda: np.zeros((images, 1, 1, 3), np.uint8), np.arange(images) % 2)


def dataset() -> Dataset:
    return Dataset(classes=("a", "b"), training=split(100), validation=split(100), test=split(100))


class Scripted:
    """A trial whose weights are the number of its epochs, and whose answers are right for a share that a script gives."""

    def __init__(self, scores: list[float], losses: Callable[[int], float] = lambda step: 1.0) -> None:
        self.scores = scores
        self.losses = losses
        self.trained = 0
        self.steps = 0
        self.log: list[str] = []

    def begin(self, phase: Phase) -> None:
        self.log.append(f"begin {phase.trained} at {self.trained}")

    def loader(self, split: object, seed: int) -> Iterator[int]:
        self.log.append(f"seed {seed}")
        yield from range(50)

    def train_step(self, batch: int) -> int:
        self.steps += 1
        return self.steps

    def loss(self, handle: int) -> float:
        return self.losses(handle)

    def synchronize(self) -> None:
        self.trained += 1

    def logits(self, split: object) -> np.ndarray:
        right = np.arange(100) < round(100 * self.scores[self.trained - 1])
        said = np.where(right, LABELS, 1 - LABELS)
        return np.eye(2, dtype=np.float32)[said]

    def gradients(self, batch: object) -> dict[str, float]:
        self.log.append(f"gradients of {batch}")
        return {"first": float("nan"), "last": 1.0}

    def snapshot(self) -> int:
        return self.trained

    def restore(self, snapshot: int) -> None:
        self.trained = snapshot
        self.log.append(f"restore {snapshot}")


def run(trial: Any, changes: dict[str, Any] | None = None, **more: Any) -> Fit:
    return fit(trial, dataset(), msgspec.structs.replace(RECIPE, **(changes or {})), 2, seed=7, **more)


def test_the_best_epoch_answers_and_of_equals_the_last():
    trial = Scripted([0.5, 0.9, 0.7, 0.9, 0.8])
    fitted = run(trial)
    assert fitted.best_epoch == 4
    assert trial.trained == 4
    assert [epoch.validation_score for epoch in fitted.epochs] == [0.5, 0.9, 0.7, 0.9, 0.8]


def test_each_epoch_has_a_seed_of_its_own_that_hangs_on_the_trainings():
    trial = Scripted([0.5] * 5)
    run(trial)
    assert [line for line in trial.log if line.startswith("seed")] == [f"seed {7000 + n}" for n in range(5)]


def test_a_head_phase_comes_first_and_its_best_epoch_is_where_the_next_begins():
    trial = Scripted([0.6, 0.5, 0.7, 0.8, 0.6, 0.5, 0.4])
    fitted = run(trial, {"head_epochs": 2, "head_learning_rate": 0.1})
    assert [epoch.trained for epoch in fitted.epochs] == ["head", "head", "all", "all", "all", "all", "all"]
    assert trial.log[0] == "begin head at 0"
    assert "restore 1" in trial.log
    assert "begin all at 1" in trial.log


def test_a_phase_stops_when_validation_has_not_been_better_for_as_long_as_the_recipe_waits():
    fitted = run(Scripted([0.5, 0.8, 0.7, 0.6, 0.9]), {"early_stopping_epochs": 2})
    assert len(fitted.epochs) == 4
    assert fitted.best_epoch == 2


def test_a_training_goes_on_where_an_earlier_process_ended():
    whole, first = Scripted([0.5, 0.9, 0.7, 0.6, 0.8]), Scripted([0.5, 0.9, 0.7])
    expected = run(whole)
    done = run(first, {"epochs": 3})
    resumed, second = [], Scripted([0.5, 0.9, 0.7, 0.6, 0.8])
    second.trained = 2  # What the earlier process left as its best.

    def resume() -> None:
        resumed.append(True)
        second.trained = 3

    fitted = run(second, done=done, resume=resume)
    assert resumed == [True]
    assert [line for line in second.log if line.startswith("seed")] == ["seed 7003", "seed 7004"]
    assert [epoch.validation_score for epoch in fitted.epochs] == [epoch.validation_score for epoch in expected.epochs]
    assert fitted.best_epoch == expected.best_epoch
    assert second.trained == whole.trained == 2
    assert fitted.epochs[3].elapsed_seconds > fitted.epochs[2].elapsed_seconds


def test_a_training_that_goes_on_between_two_phases_takes_up_the_earlier_ones_state_first():
    """Random generators, the scale of the loss and what it skipped outlive a phase, and no snapshot holds them."""
    changes = {"head_epochs": 2, "head_learning_rate": 0.1}
    scores = [0.6, 0.5, 0.7, 0.8, 0.6, 0.5, 0.4]
    whole, trial = Scripted(scores), Scripted(scores)
    expected = run(whole, changes)
    trial.trained = 1
    fitted = run(
        trial, changes, done=Fit(epochs=expected.epochs[:2]), resume=lambda: trial.log.append("resume")
    )  # fmt: skip
    assert trial.log[:4] == ["begin head at 1", "resume", "restore 1", "begin all at 1"]
    assert [line for line in trial.log if line.startswith("seed")] == [
        f"seed {7000 + number}" for number in range(2, 7)
    ]
    assert fitted.best_epoch == expected.best_epoch


def test_a_training_that_had_ended_is_not_gone_on_with():
    done = run(Scripted([0.5] * 5))
    again = Scripted([])
    assert run(again, done=done) == done
    assert not any(line.startswith("seed") for line in again.log)


def test_a_loss_that_is_not_finite_says_since_when_and_where_the_gradients_end():
    trial = Scripted([0.5] * 5, losses=lambda step: 1.0 if step < 53 else float("nan"))
    blamed = r"with the weights of epoch 1, the best before, gradients are not finite in 1 of 2 weights \(first"
    with pytest.raises(Diverged, match=rf"nan from batch 3 of epoch 2 on; {blamed}.*look at the images"):
        run(trial)
    assert trial.log[-3] == "restore 1", "with weights that are not finite no gradient is"
    assert trial.log[-2:] == ["seed 7001", "gradients of 2"], "of the batch that is named, not of the last"
    with pytest.raises(Diverged, match="nan from batch 1 of epoch 1 on; with the weights that it began with, "):
        run(Scripted([0.5] * 5, losses=lambda step: float("nan")))


def test_a_loss_that_is_not_finite_ends_a_training_long_before_its_epoch_does():
    class Long(Scripted):
        def loader(self, split: object, seed: int) -> Iterator[int]:
            yield from range(1000)

        def gradients(self, batch: object) -> dict[str, float]:
            return {"first": 1.0}

    many = Dataset(classes=("a", "b"), training=split(2000), validation=split(100), test=split(100))
    trial = Long([0.5], losses=lambda step: 1.0 if step < 53 else float("inf"))
    with pytest.raises(
        Diverged, match=r"inf from batch 53 of epoch 1 on; .*finite and reach every weight: lower learning_rate"
    ):
        fit(trial, many, RECIPE, 2, seed=0)
    assert trial.steps == 100


def test_waiting_for_data_is_told_from_training():
    class Slow(Scripted):
        def loader(self, split: object, seed: int) -> Iterator[int]:
            import time

            for number in range(50):
                time.sleep(0.002)
                yield number

    epoch = run(Slow([0.5] * 5)).epochs[0]
    assert epoch.wait_seconds is not None
    assert epoch.training_seconds is not None
    assert 0.1 <= epoch.wait_seconds <= epoch.training_seconds <= epoch.elapsed_seconds
    quick = run(Scripted([0.5] * 5)).epochs[0]
    assert (quick.wait_seconds or 0) < 0.05


def test_fewer_images_than_a_batch_are_an_error():
    with pytest.raises(JobError, match="100 training images do not fill one batch of 200"):
        fit(Scripted([]), dataset(), RECIPE, 200, seed=0)


@pytest.mark.parametrize(("changes", "said"), [
    ({"accumulation_steps": 300}, "accumulation_steps is 300, and the 250 batches of the phase 'all'"),
    ({"accumulation_steps": 60, "head_epochs": 1, "head_learning_rate": 0.1}, "the 50 batches of the phase 'head'"),
])  # fmt: skip
def test_a_phase_with_no_step_of_the_optimizer_is_an_error_before_anything_is_trained(
    changes: dict[str, Any], said: str
):
    trial = Scripted([0.5] * 6)
    with pytest.raises(JobError, match=said):
        run(trial, changes)
    assert trial.log == []


def test_a_watcher_sees_every_step_and_epoch():
    seen: list[object] = []

    class Watcher:
        def step(self, number: int, steps: int, loss: Callable[[], float]) -> None:
            seen.append((number, steps, loss()))

        def epoch(self, done: Fit, trial: Trial) -> None:
            seen.append(len(done.epochs))

    run(Scripted([0.5] * 5), {"epochs": 1}, watcher=Watcher())
    assert seen == [*((number, 50, 1.0) for number in range(1, 51)), 1]


def test_no_epoch_is_best_before_the_first():
    assert Fit().best_epoch == 0
    curve = EpochCurve(elapsed_seconds=1.0, training_loss=1.0, validation_loss=1.0, validation_score=0.5)
    assert Fit(epochs=(curve,)).is_best


def test_phases_count_the_optimizers_steps():
    said = Recipe(
        description="", epochs=4, head_epochs=2, head_learning_rate=0.1, optimizer="adam", learning_rate=0.01,
        schedule="cosine", warmup_epochs=1, accumulation_steps=3,
    )  # fmt: skip
    head, everything = said.phases(10)
    assert (head.trained, head.steps, head.learning_rate) == ("head", 6, 0.1)
    assert (everything.trained, everything.steps, everything.warmup_steps) == ("all", 13, 3)
