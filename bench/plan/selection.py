"""Selection: what the options of the command line leave of a matrix, or put into it."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping

import msgspec

from bench.errors import UsageError, unknown
from bench.frameworks import FRAMEWORKS, catalogue
from bench.measure import MEASUREMENTS
from bench.plan.cards import model_names
from bench.plan.cell import EXECUTIONS, PRECISIONS
from bench.plan.matrix import Grid, check
from bench.plan.recipe import recipe_names

Values = tuple[str | int, ...]


def narrow(grids: tuple[Grid, ...], options: Mapping[str, str]) -> tuple[Grid, ...]:
    """Apply one comma-separated list of patterns an axis; raise `UsageError` for a pattern that matches nothing.

    What a pattern matches on the axis stays. A pattern that matches nothing in the matrix, but something that exists
    outside it, takes the axis's place in every grid. A grid with nothing left on an axis is dropped.
    """
    for axis, text in options.items():
        patterns = [pattern.strip() for pattern in text.split(",") if pattern.strip()]
        if not patterns:
            raise UsageError(f"--{axis.replace('_', '-')}: names nothing")
        held = list(dict.fromkeys(value for grid in grids for value in getattr(grid, axis)))
        chosen: Values = tuple(value for pattern in patterns for value in _resolve(axis, pattern, held))
        grids = tuple(_replace(grid, axis, chosen, held) for grid in grids)
        grids = tuple(grid for grid in grids if getattr(grid, axis))
    for grid in grids:
        check(grid)
    return grids


def _replace(grid: Grid, axis: str, chosen: Values, held: Values | list[str | int]) -> Grid:
    kept = [value for value in getattr(grid, axis) if value in chosen]
    added = [value for value in chosen if value not in held]
    return msgspec.structs.replace(grid, **{axis: tuple(dict.fromkeys(kept + added))})


def _resolve(axis: str, pattern: str, held: Iterable[str | int]) -> list[str | int]:
    matching = [value for value in held if fnmatch.fnmatchcase(str(value), pattern)]
    return matching or _OUTSIDE[axis](pattern)


def _architectures(pattern: str) -> list[str | int]:
    framework, slash, model = pattern.partition("/")
    if not slash:
        return _known("architecture", pattern, model_names())
    if framework not in FRAMEWORKS:
        raise unknown("framework", framework, FRAMEWORKS)
    there = catalogue(framework)
    if there is None:
        return [pattern]
    return [f"{framework}/{name}" for name in _known(f"{framework} model", model, there)]


def _known(kind: str, pattern: str, known: Iterable[str]) -> list[str | int]:
    matching: list[str | int] = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
    if not matching:
        raise unknown(kind, pattern, known)
    return matching


def _integer_or(word: str) -> Callable[[str], list[str | int]]:
    def parse(text: str) -> list[str | int]:
        if text != word and not text.isdecimal():
            raise UsageError(f"{text!r} is neither a whole number nor {word!r}")
        return [text if text == word else int(text)]

    return parse


def _as_written(text: str) -> list[str | int]:
    return [text]


_OUTSIDE: dict[str, Callable[[str], list[str | int]]] = {
    "architectures": _architectures,
    "frameworks": lambda pattern: _known("framework", pattern, FRAMEWORKS),
    "precisions": lambda pattern: _known("precision", pattern, PRECISIONS),
    "executions": lambda pattern: _known("execution", pattern, EXECUTIONS),
    "measurements": lambda pattern: _known("measurement", pattern, MEASUREMENTS),
    "recipes": lambda pattern: _known("recipe", pattern, recipe_names()),
    "batch_sizes": _integer_or("auto"),
    "image_sizes": _integer_or("native"),
    "datasets": _as_written,
    "weights": _as_written,
}
