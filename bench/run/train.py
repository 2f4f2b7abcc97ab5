"""`bench train`: one model trained by a recipe in this process, and everything to ask it with left in a folder.

model.json                what it takes to ask the model: architecture, classes, pixels, thresholds
model.safetensors|.keras  the weights of the best epoch so far
curve.csv, curve.png      one row an epoch
confusion.png             or class_f1.png, where an image may have several labels
metrics.json              the test split's figures, with the environment and what was in force
state-N                   after epoch N, until the end: what it takes to go on, and for a moment the weights, if they are the best
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.data.dataset import Dataset
from bench.data.labels import check_labels
from bench.data.overlaps import describe as describe_overlaps
from bench.data.overlaps import overlapping_images, overlaps
from bench.data.read import read_dataset
from bench.data.readable import readable
from bench.errors import JobError, UsageError
from bench.export.find import find_exporter, find_made_from
from bench.frameworks import FRAMEWORKS, builder
from bench.frameworks.trial import Request, Trial
from bench.measure.accuracy import tested
from bench.measure.diagnosis import check_task, describe, flows, positive_weights
from bench.measure.fit import Fit, fit
from bench.measure.scores import confusion
from bench.plan.cards import FrameworkModel, Pixels, framework_model
from bench.plan.cell import Cell
from bench.plan.recipe import Recipe
from bench.records.accuracy import MultiLabelAccuracy
from bench.records.environment import environment, physical_cores
from bench.records.trained import METRICS, MODEL, Metrics, Progressed, Trained, pixels_beside, read_json, write_json
from bench.report.plots import write_curve, write_figures
from bench.run.training_progress import TrainingProgress

_PROGRESSED = "training.json"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to train and where to leave it.

    `recipe`: the cell's own, or with what the person has changed of it. `formats`: what it will be exported to.
    """

    cell: Cell
    recipe: Recipe
    seed: int
    out: Path
    resume: bool = False
    skip_unreadable: bool = False
    formats: tuple[str, ...] = ()


def train(asked: Asked, progress: TrainingProgress) -> Metrics:
    """Train, test once, and leave the folder complete; raise `UsageError` where it holds another training."""
    dataset, overlapping = _checked(asked, progress)
    weights = positive_weights(dataset) if asked.recipe.loss == "weighted-bce" else None
    trial = build(asked.cell, asked.recipe, asked.seed, len(dataset.classes), positive_weights=weights)
    if asked.formats:  # Raises where it could not be exported: now, and not after hours.
        kind = trial.source().kind
        for name in asked.formats:
            find_made_from(name, kind).prepare(progress.tell)
            find_exporter(name, kind)
    folder = _Folder(asked, dataset, trial)
    if (there := folder.finished()) is not None:
        progress.tell(f"{asked.out}: this training has ended already")
        return there
    size = asked.cell.batch_size
    assert isinstance(size, int), "nothing is trained at an automatic batch size"
    progress.begin(asked.recipe, size, folder.done)
    fitted = fit(
        trial,
        dataset,
        asked.recipe,
        size,
        seed=asked.seed,
        watcher=_Keeper(folder, dataset, progress),
        done=folder.done,
        resume=folder.load_state,
    )
    logits = trial.logits(dataset.test)
    figures = tested(trial, dataset, fitted, logits, overlapping)
    said = None if dataset.several_labels else confusion(logits, dataset.test.labels)
    metrics = Metrics(figures=figures, confusion=said, in_force=trial.in_force(), environment=environment())
    folder.finish(metrics)
    return metrics


def _checked(asked: Asked, progress: TrainingProgress) -> tuple[Dataset, int]:
    """Return the data set, and how many of its images are in two splits, which is told.

    Raises `JobError` where nothing could be learnt from it.
    """
    dataset = read_dataset(asked.cell.dataset, asked.cell.image_size)
    check_task(asked.recipe, dataset)
    check_labels(dataset)
    if asked.skip_unreadable:
        left_out: list[str] = []
        dataset = readable(dataset, left_out.append)
        for said in left_out:
            progress.tell(f"left out: {said}")
        check_labels(dataset)
    if asked.cell.weights == "random" and not asked.resume:
        if asked.recipe.head_epochs:
            progress.tell("warning: head_epochs train a classifier on layers of random weights; see --weights")
        if asked.recipe.freeze_batch_norm:
            progress.tell(
                "warning: freeze_batch_norm keeps statistics of nothing where the weights are random; see --weights"
            )
    found = overlaps(dataset)
    if found:
        parts = sorted({overlap.splits[1] for overlap in found}, reverse=True)
        progress.tell(
            f"warning: {describe_overlaps(found)}: the figures on {' and '.join(parts)} say too much; "
            "bench inspect names them all"
        )
    return dataset, overlapping_images(found)


def build(
    cell: Cell,
    recipe: Recipe,
    seed: int,
    classes: int,
    *,
    positive_weights: tuple[float, ...] | None = None,
    pixels: Pixels | None = None,
) -> Trial:
    """Return the trial of a cell with so many classes; `pixels`: where they are known, else those of its weights."""
    request = Request(
        cell=cell,
        model=framework_model(cell.architecture, cell.framework) or FrameworkModel(model=cell.architecture),
        recipe=recipe,
        classes=classes,
        seed=seed,
        threads=physical_cores(),
        positive_weights=positive_weights,
        pixels=pixels or pixels_beside(cell.weights),
    )
    trial: Trial = builder(cell.framework)(request)
    return trial


class _Folder:
    """The folder of one training; nothing in it is ever half written."""

    def __init__(self, asked: Asked, dataset: Dataset, trial: Trial) -> None:
        self.path = asked.out
        self.trial = trial
        self.checkpoint = self.path / f"model{FRAMEWORKS[asked.cell.framework].checkpoint}"
        self.trained = Trained(
            cell=asked.cell,
            recipe=asked.recipe,
            seed=asked.seed,
            classes=dataset.classes,
            pixels=trial.pixels(),
            split_hashes=(dataset.training.hash(), dataset.validation.hash(), dataset.test.hash()),
        )
        self.state = max(self._states(), key=lambda one: int(one.name[6:]), default=None)
        self.done = Fit(epochs=read_json(self.state / _PROGRESSED, Progressed).epochs) if self.state else None
        if self.state is not None or self.finished() is not None:  # Else nothing was trained yet that could be lost.
            before = read_json(self.path / MODEL, Trained)
            self._refuse_another(before, asked.resume)
            self.trained = before  # With the thresholds of a training that has ended.
            self._take_best()
            trial.load(self.checkpoint)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / MODEL, self.trained)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from None

    def finished(self) -> Metrics | None:
        """Return the figures of a training that has ended already."""
        there = self.path / METRICS
        return read_json(there, Metrics) if there.exists() else None

    def _refuse_another(self, before: Trained, resume: bool) -> None:
        if not resume:
            raise UsageError(f"{self.path}: holds a training already; go on with --resume, or name another folder")
        now, then = (msgspec.structs.replace(one, thresholds=None) for one in (self.trained, before))
        other = [n for n in Trained.__struct_fields__ if getattr(now, n) != getattr(then, n)]
        if other:
            raise UsageError(f"{self.path}: holds a training with another {', '.join(other)}; name another folder")

    def load_state(self) -> None:
        assert self.state is not None, "only a training that has begun is gone on with"
        self.trial.load_state(self.state)

    def keep(self, done: Fit) -> None:
        """Leave on disk what an epoch has brought: the weights if they are the best, the curve, what it takes to go on.

        All of it is there at once, when the state gets its name: the best weights always are those of the state's curve.
        """
        beside = self.path / "state.part"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        self.trial.save_state(beside)
        if done.is_best:
            self.trial.save(beside / self.checkpoint.name)
        write_json(beside / _PROGRESSED, Progressed(epochs=done.epochs))
        before, self.state = self._states(), self.path / f"state-{len(done.epochs)}"
        beside.rename(self.state)
        self._take_best()
        for state in before:
            shutil.rmtree(state)
        write_curve(self.path, done.epochs)

    def _states(self) -> list[Path]:
        """Return the states there are: one, or two after a kill between the newer's name and the older's end."""
        return list(self.path.glob("state-*[0-9]"))

    def _take_best(self) -> None:
        """Bring the best weights out of the newest state to their place, where that has not been done yet."""
        if self.state is not None and (inside := self.state / self.checkpoint.name).exists():
            inside.replace(self.checkpoint)

    def finish(self, metrics: Metrics) -> None:
        figures = metrics.figures
        if isinstance(figures, MultiLabelAccuracy):
            self.trained = msgspec.structs.replace(self.trained, thresholds=figures.thresholds)
            write_json(self.path / MODEL, self.trained)
        write_figures(self.path, self.trained.classes, metrics)
        write_json(self.path / METRICS, metrics)
        for state in self._states():
            shutil.rmtree(state)


class _Keeper:
    """Watches a training: shows it, keeps what each epoch brings, and asks where the gradients end when nothing is learned."""

    def __init__(self, folder: _Folder, dataset: Dataset, progress: TrainingProgress) -> None:
        self.folder = folder
        self.dataset = dataset
        self.progress = progress
        self.asked = False

    def step(self, number: int, steps: int, loss: Callable[[], float]) -> None:
        self.progress.step(number, steps, loss)

    def epoch(self, done: Fit, trial: Trial) -> None:
        self.folder.keep(done)
        self.progress.epoch(done)
        first, *later = [epoch.training_loss for epoch in done.epochs if epoch.trained == done.epochs[-1].trained]
        if len(later) > 1 and not self.asked and min(later) >= first:  # A rate that rises may cost the second.
            self.asked = True
            self._diagnose(trial)

    def _diagnose(self, trial: Trial) -> None:
        batch = next(trial.loader(self.dataset.training, 0))
        gradients = trial.gradients(batch)
        said = f"the training loss has not fallen since the first epoch; {describe(gradients)}"
        if not any(gradients.values()):
            raise JobError(said)
        self.progress.tell(said if not flows(gradients) else f"{said}: try another learning_rate")
