"""The Trial: what a framework must be able to do to be measured, and the request it is built from."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Split
from bench.errors import Unsupported
from bench.plan.cards import FrameworkModel, Pixels
from bench.plan.cell import Cell
from bench.plan.recipe import Phase, Recipe

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.float32]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: the cell, the framework's own facts about its model, and what the data and the recipe ask for.

    positive_weights: for a loss that weighs by imbalance, of each class the training split's images without it over those
    with it. pixels: what images are normalised by; None leaves it to the weights.
    """

    cell: Cell
    model: FrameworkModel
    recipe: Recipe
    classes: int
    seed: int
    threads: int
    positive_weights: tuple[float, ...] | None = None
    pixels: Pixels | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A model to export: `kind` says whose it is ('torch', 'keras-jax'), `model` takes normalised float32 images.

    `example` is one batch of them, or for Keras their shape, with None for the batch.
    """

    kind: str
    model: Any
    example: Any


class LayerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many logits a network gives, and the settings of its layers.

    Of its batch normalisations every epsilon, and every weight of the newest batch in the running statistics, once and
    sorted. `dropout`: the largest rate at which a layer drops values or, as stochastic depth, whole paths; 0 without any.
    `published_pixels`: what black and white become before the weights that the card names, three channels each.
    """

    outputs: int
    batch_norm_epsilon: tuple[float, ...]
    batch_norm_momentum: tuple[float, ...]
    dropout: float
    published_pixels: tuple[float, ...]


def needs_newer_gpu(precision: str, capability: tuple[int, int]) -> bool:
    """Return whether a precision came with NVIDIA's Ampere (compute capability 8.0) and the GPU is older."""
    return precision in ("tf32", "bf16", "amp-bf16") and capability < (8, 0)


def refuse_older_gpu(precision: str, capability: tuple[int, int], name: str) -> None:
    """Raise `Unsupported` for a precision that the GPU is too old for."""
    if needs_newer_gpu(precision, capability):
        raise Unsupported(f"{precision} needs compute capability 8.0 or newer, which {name} has not")


def once(values: Iterable[float]) -> tuple[float, ...]:
    """Return values without repetitions, sorted; those that differ after the ninth digit alone are the same."""
    return tuple(sorted({round(float(value), 9) for value in values}))


class PeakMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The framework's own allocator: the most in use and the most reserved, in bytes; None where it does not count."""

    allocated_bytes: int | None
    reserved_bytes: int | None


class Trial(Protocol):
    """A model in one framework, at one precision, on one device, ready to be measured.

    Images are uint8 in [n, height, width, 3]; labels int64 in [n], or in [n, classes] where an image may have several.
    What `place` returns is the framework's own and stays on the device; steps return before the device is done,
    `synchronize` waits for it.
    """

    def in_force(self) -> dict[str, str | int | float | bool | None]:
        """Return what the framework says is switched on: precisions, layout, threads, optimizer."""

    def parameters(self) -> int:
        """Return the number of trained parameters."""

    def flops(self) -> int | None:
        """Return the floating-point operations of one image's forward pass, two a multiply-accumulate; None if unknown."""

    def settings(self) -> LayerSettings:
        """Return the settings of the network's layers that libraries choose unlike each other."""

    def pixels(self) -> Pixels:
        """Return what images are normalised by."""

    def place(self, images: Images, labels: Labels) -> Any:
        """Return a batch on the device, normalised, in the layout and type the model takes."""

    def begin(self, phase: Phase) -> None:
        """Make what the phase trains the only weights that change, with a new optimizer that follows its schedule.

        A trial on which no phase has begun trains everything at the rate the recipe's schedule begins with.
        """

    def train_step(self, batch: Any) -> Any:
        """Take one batch's gradients, step with the optimizer when enough are together, and return a handle of the loss."""

    def loss(self, handle: Any) -> float:
        """Return the loss behind a handle, waiting for it."""

    def predict(self, batch: Any) -> Any:
        """Run one forward pass in inference mode."""

    def logits(self, split: Split) -> Floats:
        """Return the logits of every image of a split, once each and in order: float32 in [n, classes].

        Where the recipe averages weights and has trained, the averaged ones answer.
        """

    def synchronize(self) -> None:
        """Wait until the device has finished everything asked of it."""

    def loader(self, split: Split, seed: int) -> Iterator[Any]:
        """Yield placed, augmented batches of the cell's size from a shuffled split, once; a last partial one is dropped.

        Everything random in the epoch hangs on the seed, what the steps between two batches draw too where the framework
        lets it: `in_force()["resumes"]` says how.
        """

    def snapshot(self) -> Any:
        """Return a copy of the weights that `logits` answers with, the framework's own."""

    def restore(self, snapshot: Any) -> None:
        """Answer with a copy that `snapshot` gave."""

    def save(self, file: Path) -> None:
        """Write the weights that `logits` answers with to a file in the framework's own format (its `checkpoint`)."""

    def load(self, file: Path) -> None:
        """Answer with the weights that `save` wrote."""

    def save_state(self, folder: Path) -> None:
        """Write into an empty folder what the phase needs to go on: weights, optimizer, schedule, scaling, averages."""

    def load_state(self, folder: Path) -> None:
        """Go on from a saved state, of the phase that has begun."""

    def gradients(self, batch: Any) -> dict[str, float]:
        """Return the norm of the gradient of the loss of a batch for each weight that trains, by name; nothing changes."""

    def skipped_steps(self) -> int | None:
        """Return how many optimizer steps loss scaling has skipped; None where the precision has no loss scaling."""

    def compile_seconds(self) -> float | None:
        """Return the seconds spent compiling so far; None where nothing is compiled."""

    def source(self) -> Source:
        """Return the model to export. Raise `Unsupported` where the precision or execution cannot be exported."""

    def normalise(self, images: Images) -> Floats:
        """Return what the exported model takes: normalised float32 pixels in the framework's own axis order."""

    def reset_peak_memory(self) -> None:
        """Start counting the allocator's peak anew."""

    def peak_memory(self) -> PeakMemory:
        """Return the allocator's peak since the last reset."""
