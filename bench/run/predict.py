"""`bench predict`: ask a trained model of pictures."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from bench.data.dataset import FileSplit
from bench.errors import UsageError
from bench.frameworks import FRAMEWORKS
from bench.frameworks.trial import Trial
from bench.records.trained import MODEL, Trained, read_json
from bench.run.train import build

_MOST_LIKELY = 3


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of one picture: labels with their probabilities, the likeliest first."""

    file: str
    labels: tuple[tuple[str, float], ...]


def read_trained(folder: Path) -> Trained:
    """Return what stands in the folder of a training; raise `UsageError` where it is none."""
    return read_json(folder / MODEL, Trained)


def open_trained(folder: Path, trained: Trained, device: str) -> Trial:
    """Build the network of a training and load its weights."""
    cell = msgspec.structs.replace(trained.cell, weights="random", device=device)
    trial = build(cell, trained.recipe, trained.seed, len(trained.classes), pixels=trained.pixels)
    trial.load(folder / f"model{FRAMEWORKS[cell.framework].checkpoint}")
    return trial


def predict(trial: Trial, trained: Trained, files: Sequence[Path]) -> list[Answer]:
    """Return an answer a picture; of one label the three likeliest classes, of several those above their thresholds."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file")
    split = FileSplit(tuple(files), np.zeros(len(files), np.int64), trained.cell.image_size)
    logits = trial.logits(split).astype(np.float64)
    if trained.recipe.several_labels:
        shares = np.exp(-np.logaddexp(0, -logits))
    else:
        shares = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    return [Answer(file=str(file), labels=_said(trained, row)) for file, row in zip(files, shares, strict=True)]


def _said(trained: Trained, shares: np.ndarray) -> tuple[tuple[str, float], ...]:
    order = [int(number) for number in np.argsort(-shares, kind="stable")]
    if trained.recipe.several_labels:
        thresholds = trained.thresholds or (0.5,) * len(order)
        order = [number for number in order if shares[number] >= thresholds[number]]
    else:
        order = order[:_MOST_LIKELY]
    return tuple((trained.classes[number], float(shares[number])) for number in order)
