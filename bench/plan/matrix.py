"""Matrices: which cells are measured, and what of each."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.errors import UsageError, unknown
from bench.frameworks import FRAMEWORKS, catalogue, library
from bench.measure import MEASUREMENTS
from bench.plan.cards import check_dataset, model_card
from bench.plan.cell import EXECUTIONS, PRECISIONS, Cell, Execution
from bench.plan.files import MATRICES, names, read_toml
from bench.plan.protocol import Protocol, preset
from bench.plan.recipe import recipe


class Grid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block of cells: the product of its axes. `image_sizes` "native" is the size the architecture is published for."""

    measurements: tuple[str, ...]
    architectures: tuple[str, ...]
    frameworks: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32",)
    executions: tuple[Execution, ...] = ("eager",)
    batch_sizes: tuple[int | Literal["auto"], ...]
    image_sizes: tuple[int | Literal["native"], ...]
    datasets: tuple[str, ...] = ("digits",)
    weights: tuple[str, ...] = ("random",)
    recipes: tuple[str, ...] = ("baseline",)


class Matrix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matrix file: its grids and the protocol they are measured by.

    The file says `protocol = "standard"`, or a table with the preset it starts from and what differs.
    """

    description: str
    protocol: Protocol
    grid: tuple[Grid, ...]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A cell and what is to be measured of it, in the order of the matrix."""

    cell: Cell
    measurements: tuple[str, ...]


def matrix_names() -> tuple[str, ...]:
    return names(MATRICES)


def matrix_path(name: str) -> Path:
    """Return the file of a matrix that ships, or the path itself when `name` ends in .toml."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in matrix_names():
        raise unknown("matrix", name, matrix_names(), "(a file of your own is given by its path, ending in .toml)")
    return MATRICES / f"{name}.toml"


def read_matrix(path: Path) -> Matrix:
    """Read a matrix and check every name in it; raise `UsageError` that names the file and the key."""
    matrix = read_toml(path, Matrix, _with_protocol)
    for number, grid in enumerate(matrix.grid):
        try:
            check(grid)
        except UsageError as error:
            raise UsageError(f"{path}: grid[{number}]: {error}") from None
    return matrix


def _with_protocol(tables: dict[str, Any]) -> None:
    """Put the preset's values below those that the file gives; with values of its own it is no preset any more."""
    said = tables.get("protocol", {})
    own = dict(said) if isinstance(said, dict) else {"preset": said}
    base = msgspec.to_builtins(preset(own.pop("preset", "standard")))
    tables["protocol"] = base | own | ({"preset": "own"} if own else {})


def check(grid: Grid) -> None:
    """Raise `UsageError` for a name on any axis that does not exist."""
    for kind, values, known in (
        ("framework", grid.frameworks, FRAMEWORKS),
        ("precision", grid.precisions, PRECISIONS),
        ("execution", grid.executions, EXECUTIONS),
        ("measurement", grid.measurements, MEASUREMENTS),
    ):
        for value in values:
            if value not in known:
                raise unknown(kind, value, known)
    for architecture in grid.architectures:
        check_frameworks(architecture, model_card(architecture).frameworks)
        framework, slash, model = architecture.partition("/")
        there = catalogue(framework) if slash else None
        if there is not None and model not in there:
            raise unknown(f"{framework} model", model, there)
    for dataset in grid.datasets:
        check_dataset(dataset)
    for weights in grid.weights:
        if weights not in ("random", "pretrained") and not Path(weights).is_file():
            raise UsageError(f"weights {weights!r} are neither random, nor pretrained, nor a file")
    for name in grid.recipes:
        recipe(name)
    _check_sizes("batch_sizes", grid.batch_sizes)
    _check_sizes("image_sizes", grid.image_sizes)


def check_frameworks(architecture: str, frameworks: Iterable[str]) -> None:
    """Raise `UsageError` where a card, or the part of a name before its slash, names no framework."""
    for name in frameworks:
        if name not in map(library, FRAMEWORKS):
            raise UsageError(f"{architecture}: {unknown('framework', name, FRAMEWORKS)}")


def _check_sizes(axis: str, sizes: tuple[int | str, ...]) -> None:
    for size in sizes:
        if isinstance(size, int) and size < 1:
            raise UsageError(f"{axis}: {size} is not a size; the least is 1")


def expand(grids: tuple[Grid, ...], device: str) -> tuple[Planned, ...]:
    """Return every cell once, in the order of the grids, with the union of what the grids measure of it."""
    cells: dict[Cell, dict[str, None]] = {}
    for grid in grids:
        for cell in _cells(grid, device):
            cells.setdefault(cell, {}).update(dict.fromkeys(grid.measurements))
    return tuple(Planned(cell=cell, measurements=tuple(found)) for cell, found in cells.items())


def _cells(grid: Grid, device: str) -> list[Cell]:
    axes = itertools.product(
        grid.architectures,
        grid.image_sizes,
        grid.datasets,
        grid.weights,
        grid.recipes,
        grid.batch_sizes,
        grid.frameworks,
        grid.executions,
        grid.precisions,
    )
    return [
        Cell(
            architecture=architecture,
            framework=framework,
            precision=precision,
            execution=execution,
            device=device,
            batch_size=batch_size,
            image_size=model_card(architecture).image_size if image_size == "native" else image_size,
            dataset=dataset,
            weights=weights,
            recipe=recipe_name,
        )
        for (
            architecture,
            image_size,
            dataset,
            weights,
            recipe_name,
            batch_size,
            framework,
            execution,
            precision,
        ) in axes
        if "/" not in architecture or architecture.partition("/")[0] == framework
    ]
