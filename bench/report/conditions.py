"""Conditions: in what two sets of results are unlike, but for what was measured."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol as Interface

import msgspec

from bench.plan.cell import Cell
from bench.plan.protocol import Protocol
from bench.records.environment import Environment
from bench.records.record import Hashes

Key = tuple[tuple[tuple[str, str | int], ...], str]
_PROTOCOL_FREE = ("preset", "processes", "processes_at_most", "seeds", "timeout_seconds")


class Conditions(Interface):
    """What a measurement was, or is to be, made of and made under; a record is one."""

    @property
    def cell(self) -> Cell: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def measurement(self) -> str: ...
    @property
    def protocol(self) -> Protocol: ...
    @property
    def isolation(self) -> str: ...
    @property
    def hashes(self) -> Hashes: ...
    @property
    def environment(self) -> Environment: ...


Read = Callable[[Conditions], str]


def axes(cell: Cell, free: AbstractSet[str]) -> tuple[tuple[str, str | int], ...]:
    """Return a cell's axes with their values, but for the free ones, by which rows are matched."""
    return tuple((axis, getattr(cell, axis)) for axis in Cell.__struct_fields__ if axis not in free)


def shared(
    a: Sequence[Conditions], b: Sequence[Conditions], free: AbstractSet[str]
) -> tuple[list[Conditions], list[Conditions]]:
    """Return of each side what is of rows that both have."""
    rows = [[(_key(one, free), one) for one in side] for side in (a, b)]
    both = {key for key, _ in rows[0]} & {key for key, _ in rows[1]}
    return [one for key, one in rows[0] if key in both], [one for key, one in rows[1] if key in both]


def unlike(
    a: Sequence[Conditions], b: Sequence[Conditions], free: AbstractSet[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return, by name and with both values, what differs of protocol, software and what was measured; and of the machines.

    The latter is told and not refused: two machines may be what is to be compared.
    """
    sides = shared(a, b, free)
    found = [
        said for what, (axis, read) in _CONDITIONS.items() if axis not in free for said in _unlike(what, read, *sides)
    ]
    found += _unlike_batch_sizes(*sides, free)
    packages = [_packages(one) for one in sides]
    for name in packages[0].keys() | packages[1].keys():
        versions = [held.get(name, "none") for held in packages]
        if versions[0] != versions[1]:
            found.append(f"{name}: {versions[0]} in A, {versions[1]} in B")
    machines = (said for what, read in _MACHINE.items() for said in _unlike(what, read, *sides))
    return tuple(sorted(found)), tuple(machines)


def _key(one: Conditions, free: AbstractSet[str]) -> Key:
    return axes(one.cell, free), one.measurement


def _unlike(what: str, read: Read, a: Sequence[Conditions], b: Sequence[Conditions]) -> Iterator[str]:
    values = [{read(one) for one in side} for side in (a, b)]
    if values[0] != values[1]:
        own = (", ".join(sorted(values[side] - values[1 - side])) or "nothing else" for side in (0, 1))
        yield "{}: {} in A, {} in B".format(what, *own)


def _unlike_batch_sizes(a: Sequence[Conditions], b: Sequence[Conditions], free: AbstractSet[str]) -> Iterator[str]:
    """Yield the rows whose batch size was left to be found, and found otherwise on the other side."""
    found: dict[Key, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for side, records in enumerate((a, b)):
        for one in records:
            if one.cell.batch_size == "auto" and one.batch_size is not None and "batch_size" not in free:
                found[_key(one, free)][side].add(one.batch_size)
    for (row, measurement), sizes in found.items():
        if all(sizes) and sizes[0] != sizes[1]:
            said = [", ".join(map(str, sorted(own))) for own in sizes]
            name = "/".join(str(value) for _, value in row)
            yield f"batch size found for {name}, {measurement}: {said[0]} in A, {said[1]} in B"


def _packages(side: Sequence[Conditions]) -> dict[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in side:
        for name, version in one.environment.packages.items():
            found[name].add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _protocol(one: Conditions) -> str:
    values = msgspec.to_builtins(one.protocol)
    return " ".join(f"{name}={value}" for name, value in values.items() if name not in _PROTOCOL_FREE)


def _of_gpu(field: str) -> Read:
    """Return what reads a field that matters on a GPU only."""
    return lambda one: str(getattr(one.environment, field)) if one.cell.device.startswith("cuda") else "not used"


def _gpus(one: Conditions) -> str:
    names = [gpu.name for gpu in one.environment.gpus]
    return " + ".join(names) if names and one.cell.device.startswith("cuda") else "none used"


# By name: the axis that takes the condition with it where a comparison leaves it free, and how it is read.
_CONDITIONS: dict[str, tuple[str | None, Read]] = {
    "protocol": (None, _protocol),
    "recipe": ("recipe", lambda one: one.hashes.recipe),
    "isolation": (None, lambda one: one.isolation),
    "python": (None, lambda one: one.environment.python),
    "system": (None, lambda one: one.environment.system),
    "driver": ("device", _of_gpu("driver")),
    "cuda": ("device", _of_gpu("cuda")),
    "bench's own code": (None, lambda one: one.environment.code or "unknown"),
    "card": ("architecture", lambda one: f"{one.cell.architecture} {one.hashes.card}"),
    "weights": ("weights", lambda one: f"{one.cell.weights} {one.hashes.weights}"),
    "data set": ("dataset", lambda one: f"{one.cell.dataset} {one.hashes.dataset}"),
}
_MACHINE: dict[str, Read] = {
    "cpu": lambda one: f"{one.environment.cpu}, {one.environment.cpu_cores_physical} cores",
    "cpu extensions": lambda one: " ".join(one.environment.cpu_extensions) or "unknown",
    "governor": lambda one: one.environment.cpu_governor or "unknown",
    "gpus": _gpus,
}
