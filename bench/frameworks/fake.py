"""A framework that measures nothing and can be told to fail, for the runner's tests and for trying `bench` out.

Its models are `fake/NAME`: `well` learns a linear classifier at a known speed; the others do what their name says, at the
first training step or prediction. Every architecture with a card behaves as `well`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.data.dataset import Split
from bench.errors import Unsupported
from bench.frameworks.trial import Floats, Images, Labels, LayerSettings, PeakMemory, Request, Source
from bench.measure.scores import cross_entropy
from bench.plan.cards import Pixels
from bench.plan.recipe import Phase

STEP_SECONDS = 0.001
SLOW_STEP_SECONDS = 0.05
Batch = tuple[Floats, Labels]


def _hang() -> None:
    signal.pause()


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _exhaust_memory() -> None:
    held = []
    while True:
        held.append(
            np.empty(1 << 30, np.uint8)
        )  # Never touched, so that only the limit is exhausted and not the machine.


def _print() -> None:
    print("{this is not a record}", flush=True)
    os.write(2, b"nor is this\n")


def _leave_children() -> None:
    for new_session in (False, True):
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=new_session)


def _raise() -> None:
    raise RuntimeError("told to fail")


FAULTS: dict[str, Callable[[], None]] = {
    "well": lambda: None,
    "hang": _hang,
    "crash": _crash,
    "exhaust-memory": _exhaust_memory,
    "nan": lambda: None,
    "print": _print,
    "leave-children": _leave_children,
    "slow": lambda: time.sleep(SLOW_STEP_SECONDS),
    "raise": _raise,
}


def catalogue() -> list[str]:
    """Return the names of the fake models, one a fault."""
    return list(FAULTS)


def build(request: Request) -> "FakeTrial":
    """Build a linear classifier that behaves as its name says."""
    name = request.model.model if request.model.model in FAULTS else "well"
    if request.cell.batch_size != "auto" and request.cell.batch_size > 4096 and name == "well":
        raise MemoryError(f"a batch of {request.cell.batch_size} does not fit the fake device")
    return FakeTrial(request, name)


class FakeTrial:
    """A linear classifier trained by gradient descent, one sleep a step."""

    def __init__(self, request: Request, fault: str) -> None:
        size = request.cell.image_size
        self.request = request
        self.fault = fault
        self.matrix = np.zeros((size * size * 3, request.classes), np.float32)

    def in_force(self) -> dict[str, str | int | float | bool | None]:
        return {"threads": self.request.threads, "fault": self.fault, "weights": "zero"}

    def parameters(self) -> int:
        return self.matrix.size

    def flops(self) -> int | None:
        return 2 * self.matrix.size

    def settings(self) -> LayerSettings:
        return LayerSettings(
            outputs=self.request.classes,
            batch_norm_epsilon=(),
            batch_norm_momentum=(),
            dropout=0.0,
            published_pixels=(),
        )

    def pixels(self) -> Pixels:
        return Pixels(mean=(0, 0, 0), std=(255, 255, 255))

    def place(self, images: Images, labels: Labels) -> Batch:
        return self.normalise(images), labels

    def train_step(self, batch: Batch) -> float:
        self._step()
        loss, gradient = self._loss_and_gradient(batch)
        self.matrix -= np.float32(100 / len(self.matrix)) * gradient
        return float("nan") if self.fault == "nan" else loss

    def loss(self, handle: float) -> float:
        return handle

    def predict(self, batch: Batch) -> Floats:
        self._step()
        logits: Floats = batch[0] @ self.matrix
        return logits

    def logits(self, split: Split) -> Floats:
        return self.predict(self.place(split.batch(np.arange(len(split))), split.labels))

    def synchronize(self) -> None:
        """Nothing runs behind the caller's back."""

    def loader(self, split: Split, seed: int) -> Iterator[Batch]:
        size = self.request.cell.batch_size
        assert isinstance(size, int)
        order = np.random.default_rng(seed).permutation(len(split))
        for start in range(0, len(split) - size + 1, size):
            chosen = order[start : start + size]
            yield self.place(split.batch(chosen), split.labels[chosen])

    def begin(self, phase: Phase) -> None:
        """There is one layer, and its rate stays."""

    def snapshot(self) -> Floats:
        return self.matrix.copy()

    def restore(self, snapshot: Floats) -> None:
        self.matrix = snapshot.copy()

    def save(self, file: Path) -> None:
        with file.open("wb") as opened:
            np.save(opened, self.matrix)

    def load(self, file: Path) -> None:
        self.matrix = np.load(file)

    def save_state(self, folder: Path) -> None:
        self.save(folder / "state.npy")

    def load_state(self, folder: Path) -> None:
        self.load(folder / "state.npy")

    def gradients(self, batch: Batch) -> dict[str, float]:
        _, gradient = self._loss_and_gradient(batch)
        return {"matrix": float(np.linalg.norm(gradient))}

    def skipped_steps(self) -> int | None:
        return None

    def compile_seconds(self) -> float | None:
        return None

    def source(self) -> Source:
        raise Unsupported("the fake framework exports nothing")

    def normalise(self, images: Images) -> Floats:
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)

    def reset_peak_memory(self) -> None:
        """There is no allocator to count."""

    def peak_memory(self) -> PeakMemory:
        return PeakMemory(allocated_bytes=None, reserved_bytes=None)

    def _loss_and_gradient(self, batch: Batch) -> tuple[float, Floats]:
        pixels, labels = batch
        logits: Floats = pixels @ self.matrix
        if labels.ndim == 2:
            shares = (1 / (1 + np.exp(-logits)) - labels) / labels.shape[1]
            loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
        else:
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(len(labels)), labels] -= 1
            loss = cross_entropy(logits, labels)
        gradient: Floats = (pixels.T @ shares / len(labels)).astype(np.float32)
        return loss, gradient

    def _step(self) -> None:
        time.sleep(STEP_SECONDS)
        FAULTS[self.fault]()
