"""Two sets of results held against each other: which rows they share, and what can be said of each."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from bench.errors import UsageError, unknown
from bench.measure.verdict import FALSE_DISCOVERIES, Judgement, Verdict, unpaired, verdicts
from bench.plan.cell import Cell
from bench.records.record import Export, Inference, Record, Training
from bench.report.format import NOTHING, rate
from bench.report.table import Table

# Fewer processes, or the same figure copied, give no spread to judge by.
FEWEST = 2
_PROTOCOL_FREE = ("processes", "seeds", "timeout_seconds")


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its name as given, its records, and the axes that it fixes to a value of its own."""

    name: str
    records: tuple[Record, ...]
    fixed: dict[str, str]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one cell on both sides, a rate a process each: more is faster. No verdict with too few processes."""

    cell: dict[str, str | int]
    quantity: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    verdict: Verdict | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`differences`: in what the sides are unlike but for what was measured. `unmatched`: rows that one side alone has."""

    a: str
    b: str
    margin: float
    differences: tuple[str, ...]
    pairs: tuple[Pair, ...]
    unmatched: int


def side(text: str, records: Sequence[Record]) -> Side:
    """Return the records of `PATH` or of `PATH:axis=value,axis=value`, of which the caller has read the path's."""
    _, _, label = text.partition(":")
    fixed: dict[str, str] = {}
    for part in label.split(",") if label else ():
        axis, equals, value = part.partition("=")
        if axis not in Cell.__struct_fields__:
            raise unknown("axis", axis, Cell.__struct_fields__)
        if not equals:
            raise UsageError(f"{text!r}: write {axis}=VALUE")
        fixed[axis] = value
    kept = tuple(r for r in records if all(str(getattr(r.cell, axis)) == value for axis, value in fixed.items()))
    if not any(record.figures for record in kept):
        raise UsageError(f"{text}: no results; bench list and the file's own table say what there is")
    return Side(name=text, records=kept, fixed=fixed)


def compare(a: Side, b: Side, margin: float) -> Comparison:
    """Match what both sides have, but for the axes that either fixes, and judge every pair; over all rows together."""
    free = a.fixed.keys() | b.fixed.keys()
    rates = [_rates(one, free) for one in (a, b)]
    shared = sorted(rates[0].keys() & rates[1].keys(), key=_order)
    judged = [key for key in shared if all(len(set(one[key])) >= FEWEST for one in rates)]
    effects = [unpaired(rates[0][key], rates[1][key]) for key in judged]
    found = dict(zip(judged, verdicts(effects, margin), strict=True))
    return Comparison(
        a=a.name,
        b=b.name,
        margin=margin,
        differences=tuple(sorted(_differences(a, b, free))),
        pairs=tuple(
            Pair(
                cell=dict(key[0]),
                quantity=key[1],
                a=tuple(rates[0][key]),
                b=tuple(rates[1][key]),
                verdict=found.get(key),
            )
            for key in shared
        ),
        unmatched=len(rates[0].keys() ^ rates[1].keys()),
    )


Key = tuple[tuple[tuple[str, str | int], ...], str]


def _order(key: Key) -> tuple[str, ...]:
    return *(str(value) for _, value in key[0]), key[1]


def _rates(one: Side, free: set[str]) -> dict[Key, list[float]]:
    found: dict[Key, list[float]] = defaultdict(list)
    for record in one.records:
        axes = tuple((axis, getattr(record.cell, axis)) for axis in Cell.__struct_fields__ if axis not in free)
        for quantity, value in _quantities(record):
            found[axes, quantity].append(value)
    return found


def _quantities(record: Record) -> Iterator[tuple[str, float]]:
    """Yield every speed that a record holds, by name; a latency's is its inverse."""
    figures, size = record.figures, record.batch_size or 0
    if isinstance(figures, Training):
        yield "training", figures.resident.images_per_second(size)
        yield "training from the loader", figures.loader.steps * size / figures.loader.total_seconds
    elif isinstance(figures, Inference):
        yield "inference", figures.resident.images_per_second(size)
        yield "latency p50", 1 / median(figures.latency_seconds)
    elif isinstance(figures, Export):
        yield f"{record.measurement} latency p50", 1 / median(figures.latency_seconds)


def _differences(a: Side, b: Side, free: set[str]) -> Iterator[str]:
    """Yield, by name and with both values, what differs of the protocol, the recipe and the software."""
    for what, read in _CONDITIONS.items():
        if what == "recipe" and "recipe" in free:
            continue
        values = [sorted({read(record) for record in one.records if record.figures}) for one in (a, b)]
        if values[0] != values[1]:
            yield f"{what}: {', '.join(values[0])} in A, {', '.join(values[1])} in B"
    packages = [_packages(one) for one in (a, b)]
    for name in packages[0].keys() | packages[1].keys():
        versions = [held.get(name, "none") for held in packages]
        if versions[0] != versions[1]:
            yield f"{name}: {versions[0]} in A, {versions[1]} in B"


def _packages(one: Side) -> Mapping[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in one.records:
        for name, version in record.environment.packages.items():
            found[name].add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _protocol(record: Record) -> str:
    values = msgspec.to_builtins(record.protocol)
    return " ".join(f"{name}={value}" for name, value in values.items() if name not in _PROTOCOL_FREE)


_CONDITIONS: dict[str, Callable[[Record], str]] = {
    "protocol": _protocol,
    "recipe": lambda record: record.hashes.recipe,
    "isolation": lambda record: record.isolation,
    "python": lambda record: record.environment.python,
    "bench's own code": lambda record: record.environment.code or "unknown",
}


def table(comparison: Comparison) -> Table:
    """Return the comparison as a table, what differs clearly first."""
    columns = (*_axes(comparison), "Quantity", "A", "B", "B over A", "Adjusted p", "Verdict")
    order = list(Judgement)
    pairs = sorted(
        comparison.pairs,
        key=lambda pair: order.index(pair.verdict.judgement) if pair.verdict else len(order),
    )
    rows = tuple(
        (
            *(str(pair.cell[axis]) for axis in _axes(comparison)),
            pair.quantity,
            rate(pair.a),
            rate(pair.b),
            *_said(pair.verdict),
        )
        for pair in pairs
    )
    return Table(
        title=f"B = {comparison.b} against A = {comparison.a}",
        columns=columns,
        labels=len(_axes(comparison)) + 1,
        rows=rows,
        notes=(
            _NOTE.format(margin=comparison.margin, false_discoveries=FALSE_DISCOVERIES),
            f"Rows that one side alone has: {comparison.unmatched}.",
            *(f"Unlike: {difference}." for difference in comparison.differences),
        ),
    )


def as_json(comparison: Comparison) -> str:
    """Return the comparison as JSON, its rates raw."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode()


def slower(comparison: Comparison) -> bool:
    """Return whether any row is SLOWER."""
    return any(pair.verdict and pair.verdict.judgement is Judgement.SLOWER for pair in comparison.pairs)


def _axes(comparison: Comparison) -> tuple[str, ...]:
    """Return the axes on which the rows differ, so that each is told."""
    cells = [pair.cell for pair in comparison.pairs]
    return tuple(axis for axis in (cells[0] if cells else ()) if len({cell[axis] for cell in cells}) > 1)


def _said(verdict: Verdict | None) -> tuple[str, str, str]:
    if verdict is None:
        return NOTHING, NOTHING, "too few processes"
    ratio = f"{verdict.ratio:.3f} ({verdict.low:.3f}–{verdict.high:.3f})"
    return ratio, f"{verdict.adjusted_p:.2g}", verdict.judgement.value


_NOTE = (
    "Rates: median over processes, more is faster; a latency stands as requests a second. B over A: ratio of geometric means "
    "with Student's 95 % interval over processes (Welch). FASTER and SLOWER: the interval wholly beyond ±{margin:.3g} and p, "
    "adjusted over all rows, at most {false_discoveries}; SAME: wholly within; else INCONCLUSIVE."
)
