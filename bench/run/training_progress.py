"""What a person sees of a training: a bar that moves on a terminal, one line an epoch."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.measure.fit import Fit
from bench.plan.recipe import Recipe
from bench.run.progress import duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_EVERY_SECONDS = 0.5


class TrainingProgress:
    """Shows losses, score, training images a second and the time left. Use as a context manager."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._epochs = self._batch_size = self._images = self._done = self._done_before = 0
        self._score = ""
        self._looked = self._begun = self._epoch_begun = 0.0

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, recipe: Recipe, batch_size: int, done: Fit | None) -> None:
        """Take what is to come; `done` is behind it already."""
        self._epochs = recipe.head_epochs + recipe.epochs
        self._batch_size = batch_size
        self._done = self._done_before = len(done.epochs) if done else 0
        self._begun = time.monotonic()
        if self._done:
            self.tell(f"going on after epoch {self._done}")
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("starting", said="")
            self._bar.start()

    def step(self, number: int, steps: int, loss: Callable[[], float]) -> None:
        """Show how far an epoch has come, now and then: the loss must be waited for."""
        now = time.monotonic()
        if number == 1:
            self._epoch_begun, self._images = now, steps * self._batch_size
        if self._bar is None or self._task is None or now - self._looked < _EVERY_SECONDS:
            return
        self._looked = now
        said = f"loss {loss():.3f}"
        if number > 1:
            said += f", {(number - 1) * self._batch_size / (now - self._epoch_begun):,.0f} img/s"
        said += self._score
        self._bar.update(
            self._task,
            description=f"epoch {self._done + 1} of {self._epochs}",
            completed=number,
            total=steps,
            said=said,
        )

    def epoch(self, done: Fit) -> None:
        """Say one line of an epoch."""
        self._done = len(done.epochs)
        newest = done.epochs[-1]
        assert newest.training_seconds, "an epoch that was just trained has them"
        self._score = f", score {newest.validation_score:.1%} after epoch {self._done}"
        each = (time.monotonic() - self._begun) / (self._done - self._done_before)
        left = duration(each * max(0, self._epochs - self._done))
        best = ", best so far" if done.is_best else ""
        self.tell(
            f"epoch {self._done} of {self._epochs} ({newest.trained}): training loss {newest.training_loss:.4f}, "
            f"validation loss {newest.validation_loss:.4f}, score {newest.validation_score:.1%}{best}; "
            f"{self._images / newest.training_seconds:,.0f} img/s, {left} left at most"
        )

    def tell(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.console.print(text, highlight=False, markup=False)
