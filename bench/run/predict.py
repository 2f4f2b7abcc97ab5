"""`bench predict`: ask a trained model of pictures."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import ArraySplit
from bench.data.decode import decode
from bench.errors import JobError, UsageError, reason
from bench.frameworks import FRAMEWORKS
from bench.frameworks.trial import Trial
from bench.records.trained import Trained
from bench.run.train import build

_MOST_LIKELY = 3


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of one picture: labels with their probabilities, the likeliest first."""

    file: str
    labels: tuple[tuple[str, float], ...]


def open_trained(folder: Path, trained: Trained, device: str) -> Trial:
    """Build the network of a training and load its weights; raise `JobError` where there are none, or damaged ones."""
    weights = folder / f"model{FRAMEWORKS[trained.cell.framework].checkpoint}"
    if not weights.is_file():
        raise JobError(f"{weights}: is not there; has an epoch of this training come to its end?")
    cell = msgspec.structs.replace(trained.cell, weights="random", device=device)
    recipe = msgspec.structs.replace(trained.recipe, loader_workers=0)  # Pictures are decoded here.
    trial = build(cell, recipe, trained.seed, len(trained.classes), pixels=trained.pixels)
    try:
        trial.load(weights)
    except Exception as error:  # Each library has errors of its own for half a file.
        raise JobError(f"{weights}: cannot be read: {reason(error)}") from None
    return trial


def predict(trial: Trial, trained: Trained, files: Sequence[Path]) -> Iterator[Answer | JobError]:
    """Yield an answer a picture, or the error of one that cannot be decoded, a batch at a time.

    Of one label these are the three likeliest classes, of several those above their thresholds.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file")
    size = trained.cell.batch_size
    assert isinstance(size, int), "nothing is trained at an automatic batch size"
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(files), size):
            batch = files[start : start + size]
            decoded = list(pool.map(lambda file: _decoded(file, trained.cell.image_size), batch))
            shares = iter(_shares(trial, trained, [image for image in decoded if not isinstance(image, JobError)]))
            for file, image in zip(batch, decoded, strict=True):
                if isinstance(image, JobError):
                    yield image
                else:
                    yield Answer(file=str(file), labels=_said(trained, next(shares)))


def _decoded(file: Path, image_size: int) -> NDArray[np.uint8] | JobError:
    try:
        return decode(file, image_size)
    except JobError as error:
        return error


def _shares(trial: Trial, trained: Trained, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the probabilities of the classes, in [n, classes], of images that are uint8 in [size, size, 3]."""
    if not images:
        return np.empty((0, len(trained.classes)))
    split = ArraySplit(lambda: np.stack(images), np.zeros(len(images), np.int64))
    logits = trial.logits(split).astype(np.float64)
    if trained.recipe.several_labels:
        return np.exp(-np.logaddexp(0, -logits))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def _said(trained: Trained, shares: np.ndarray) -> tuple[tuple[str, float], ...]:
    order = [int(number) for number in np.argsort(-shares, kind="stable")]
    if trained.recipe.several_labels:
        thresholds = trained.thresholds or (0.5,) * len(order)
        order = [number for number in order if shares[number] >= thresholds[number]]
    else:
        order = order[:_MOST_LIKELY]
    return tuple((trained.classes[number], float(shares[number])) for number in order)
