"""The cell, one point of the matrix, and the job, one process that measures one thing of it."""

from typing import Literal

import msgspec

from bench.plan.cards import FrameworkModel
from bench.plan.protocol import Protocol
from bench.plan.recipe import Recipe

Execution = Literal["eager", "compiled", "xla"]
# In a run that compares: B is what runs here, A what it is held against, and A again the control. Held against stored results,
# what runs here has no side, and is itself what the control measures again.
Side = Literal["a", "b", "a-again"]
EXECUTIONS: tuple[Execution, ...] = ("eager", "compiled", "xla")
PRECISIONS: dict[str, str] = {
    "fp32": "every product in 32 bits; TF32 switched off",
    "tf32": "32-bit storage, products rounded to 10 bits of mantissa (NVIDIA, Ampere and newer)",
    "amp-fp16": "mixed precision in float16 with loss scaling",
    "amp-bf16": "mixed precision in bfloat16",
    "bf16": "weights, activations and gradients all in bfloat16",
}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the matrix. `image_size` is the side in pixels; `batch_size` "auto" asks for the largest that fits."""

    architecture: str
    framework: str
    precision: str
    execution: Execution
    device: str
    batch_size: int | Literal["auto"]
    image_size: int
    dataset: str
    weights: str
    recipe: str

    @property
    def id(self) -> str:
        """The cell's name: its axes in a fixed order, joined by slashes."""
        size = f"b{self.batch_size}/{self.image_size}px"
        parts = (self.architecture, self.framework, self.precision, self.execution, self.device, size)
        return "/".join((*parts, self.dataset, self.weights, self.recipe))


Key = tuple[str, str, Side | None, int]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one cell in one process, with every fact the worker needs. `process` counts from 0.

    `weights_file`: where the cell's first accuracy leaves the trained weights, and its exports find them. `learned_file`: where
    the first export of a cell without an accuracy leaves what it learned in a few steps, and the others find it.
    """

    cell: Cell
    measurement: str
    process: int
    seed: int
    protocol: Protocol
    recipe: Recipe
    model: FrameworkModel | None
    side: Side | None = None
    weights_file: str | None = None
    learned_file: str | None = None

    @property
    def key(self) -> Key:
        return (self.cell.id, self.measurement, self.side, self.process)
