"""A trained model in a folder: what stands in its files, beside the weights."""

from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import UsageError
from bench.plan.cards import Pixels
from bench.plan.cell import Cell
from bench.plan.recipe import Recipe
from bench.records.accuracy import Accuracy, EpochCurve, MultiLabelAccuracy
from bench.records.environment import Environment
from bench.records.record import InForce

MODEL, METRICS = "model.json", "metrics.json"
T = TypeVar("T")


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it takes to ask a model, and to go on with its training.

    `pixels`: what its images are normalised by. `thresholds`: of each class's probability, where an image may have several
    labels; None before the training has ended. `split_hashes`: of training, validation and test.
    """

    cell: Cell
    recipe: Recipe
    seed: int
    classes: tuple[str, ...]
    pixels: Pixels
    split_hashes: tuple[str, str, str]
    thresholds: tuple[float, ...] | None = None


class Progressed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a training has come."""

    epochs: tuple[EpochCurve, ...]


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trained model is worth, and where that was found.

    `confusion`: images of the test split, a row a true class and a column a said one; None with several labels an image.
    """

    figures: Accuracy | MultiLabelAccuracy
    confusion: tuple[tuple[int, ...], ...] | None
    in_force: InForce
    environment: Environment


def pixels_beside(weights: str) -> Pixels | None:
    """Return what images were normalised by where weights are a file that `bench train` left; None of others.

    Raises `UsageError` where the file beside it that says so cannot be read.
    """
    there = Path(weights).parent / MODEL
    return read_json(there, Trained).pixels if Path(weights).is_file() and there.is_file() else None


def write_json(file: Path, value: msgspec.Struct) -> None:
    """Write a value beside a file and put it in its place, so that whoever reads it never sees half."""
    beside = file.with_name(f"{file.name}.part")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    beside.replace(file)


def read_json(file: Path, kind: type[T]) -> T:
    """Read what `write_json` wrote; raise `UsageError` that names the file where it is not that."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; is that the folder of a bench train?") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{file}: {error}") from None
