"""Two sets of results held against each other: which rows they share, and what can be said of each."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from bench.errors import UsageError, unknown
from bench.measure.verdict import FALSE_DISCOVERIES, SAME_MACHINE_MARGIN, Judgement, Verdict, paired, unpaired, verdicts
from bench.plan.cell import Cell
from bench.records.flags import flags
from bench.records.rates import log_ratio, sm_mhz, speeds
from bench.records.record import Record
from bench.report.format import NOTHING, rate
from bench.report.table import Table

# Fewer processes, or the same figure copied, give no spread to judge by.
FEWEST = 2
TWO_RUNS_MARGIN = 0.05
_PROTOCOL_FREE = ("preset", "processes", "processes_at_most", "seeds", "timeout_seconds")
_CONTROL = "a-again"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its name as given, its records, and the axes that it fixes to a value of its own."""

    name: str
    records: tuple[Record, ...]
    fixed: dict[str, str]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one cell on both sides, a rate a process each: more is faster. No verdict with too few processes.

    `flags`: of either side.
    """

    cell: dict[str, str | int]
    quantity: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    verdict: Verdict | None
    flags: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`differences`: in what the sides are unlike but for what was measured. `unmatched`: rows that one side alone has.

    `in_turns`: whether both ran on one machine in turns, process against process. Then `control` has A against A, and
    where that differs no verdict stands.
    """

    a: str
    b: str
    in_turns: bool
    margin: float
    differences: tuple[str, ...]
    pairs: tuple[Pair, ...]
    control: tuple[Pair, ...]
    unmatched: int

    @property
    def stands(self) -> bool:
        """Whether the control says that the run can tell anything."""
        return not any(_differs(pair.verdict) for pair in self.control)


def part(text: str, records: Sequence[Record]) -> Part:
    """Return the records of `PATH` or of `PATH:axis=value,axis=value`, of which the caller has read the path's."""
    _, _, label = text.partition(":")
    fixed: dict[str, str] = {}
    for piece in label.split(",") if label else ():
        axis, equals, value = piece.partition("=")
        if axis not in (*Cell.__struct_fields__, "side"):
            raise unknown("axis", axis, (*Cell.__struct_fields__, "side"))
        if not equals:
            raise UsageError(f"{text!r}: write {axis}=VALUE")
        fixed[axis] = value
    kept = tuple(record for record in records if all(_value(record, axis) == value for axis, value in fixed.items()))
    if not any(record.figures for record in kept):
        raise UsageError(f"{text}: no results; bench list and the file's own table say what there is")
    return Part(name=text, records=kept, fixed=fixed)


def sides(path: str, records: Sequence[Record]) -> tuple[Part, Part, Part | None]:
    """Return A, B and the control of one run that compares; raise `UsageError` for a run of one side."""
    if not has_both_sides(records):
        raise UsageError(f"{path} has figures of one side only; name two results, or measure with bench run --against")
    control = (
        part(f"{path}:side={_CONTROL}", records) if any(r.figures and r.side == _CONTROL for r in records) else None
    )
    return part(f"{path}:side=a", records), part(f"{path}:side=b", records), control


def has_both_sides(records: Sequence[Record]) -> bool:
    """Return whether a run that compares has come to figures of A and of B."""
    return {"a", "b"} <= {record.side for record in records if record.figures}


def _value(record: Record, axis: str) -> str:
    return str(record.side if axis == "side" else getattr(record.cell, axis))


def compare(a: Part, b: Part, control: Part | None = None, margin: float | None = None) -> Comparison:
    """Match what both sides have, but for the axes that either fixes, and judge every pair; over all rows together.

    Sides of one run are held against each other process by process, with a margin of 1 % or of what the control gave where
    that is more; else two runs, with 5 %.
    """
    in_turns = {"side"} == a.fixed.keys() == b.fixed.keys() and _runs(a) == _runs(b)
    checked = _judged(a, control, SAME_MACHINE_MARGIN, in_turns)[0] if control else ()
    if margin is None:
        given = [abs(pair.verdict.ratio - 1) for pair in checked if pair.verdict]
        margin = max([SAME_MACHINE_MARGIN, *given]) if in_turns else TWO_RUNS_MARGIN
    pairs, unmatched = _judged(a, b, margin, in_turns)
    found = Comparison(
        a=a.name,
        b=b.name,
        in_turns=in_turns,
        margin=margin,
        differences=() if in_turns else tuple(sorted(_differences(a, b, a.fixed.keys() | b.fixed.keys()))),
        pairs=pairs,
        control=checked,
        unmatched=unmatched,
    )
    if found.stands:
        return found
    return msgspec.structs.replace(found, pairs=tuple(msgspec.structs.replace(p, verdict=None) for p in pairs))


Key = tuple[tuple[tuple[str, str | int], ...], str]
Process = tuple[str, int]
Rows = tuple[Key, dict[Process, tuple[float, Record]], dict[Process, tuple[float, Record]]]


def _runs(one: Part) -> set[str]:
    return {record.run for record in one.records}


def _judged(a: Part, b: Part, margin: float, in_turns: bool) -> tuple[tuple[Pair, ...], int]:
    """Return the pairs with their verdicts, and the number of rows that one side alone has."""
    free = a.fixed.keys() | b.fixed.keys()
    found = [_by_process(one, free) for one in (a, b)]
    keys = sorted(found[0].keys() & found[1].keys(), key=_order)
    judge = _judged_in_turns if in_turns else _judged_apart
    verdict = judge([(key, found[0][key], found[1][key]) for key in keys], margin)
    pairs = tuple(
        Pair(
            cell=dict(key[0]),
            quantity=key[1],
            a=tuple(value for value, _ in found[0][key].values()),
            b=tuple(value for value, _ in found[1][key].values()),
            verdict=verdict.get(key),
            flags=tuple(
                dict.fromkeys(flag for one in found for flag in flags([record for _, record in one[key].values()]))
            ),
        )
        for key in keys
    )
    return pairs, len(found[0].keys() ^ found[1].keys())


def _judged_apart(rows: Sequence[Rows], margin: float) -> dict[Key, Verdict]:
    rates = {key: [[value for value, _ in own.values()] for own in both] for key, *both in rows}
    judged = {key: both for key, both in rates.items() if all(len(set(own)) >= FEWEST for own in both)}
    return dict(zip(judged, verdicts([unpaired(*both) for both in judged.values()], margin), strict=True))


def _judged_in_turns(rows: Sequence[Rows], margin: float) -> dict[Key, Verdict]:
    """Judge the log ratios of processes that took turns; on a GPU once more with rates taken a clock cycle.

    There a verdict of difference that cycles do not repeat becomes INCONCLUSIVE: a clock that moved is no speed-up.
    """
    ratios, cycles = {}, {}
    for key, a, b in rows:
        pairs = [(a[process][1], b[process][1]) for process in sorted(a.keys() & b.keys())]
        found = [log_ratio(key[1], *pair) for pair in pairs]
        if len(set(found)) < FEWEST:
            continue
        ratios[key] = found
        clocks = [(sm_mhz(first), sm_mhz(second)) for first, second in pairs]
        moved = [math.log(second / first) for first, second in clocks if first and second]
        if len(moved) == len(found):
            cycles[key] = [ratio - clock for ratio, clock in zip(found, moved, strict=True)]
    judged = dict(zip(ratios, verdicts([paired(own) for own in ratios.values()], margin), strict=True))
    again = zip(cycles, verdicts([paired(own) for own in cycles.values()], margin), strict=True)
    for key, verdict in again:
        if _differs(judged[key]) and verdict.judgement is not judged[key].judgement:
            judged[key] = msgspec.structs.replace(judged[key], judgement=Judgement.INCONCLUSIVE)
    return judged


def _differs(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.judgement in (Judgement.FASTER, Judgement.SLOWER)


def _order(key: Key) -> tuple[str, ...]:
    return *(str(value) for _, value in key[0]), key[1]


def _by_process(one: Part, free: set[str]) -> dict[Key, dict[Process, tuple[float, Record]]]:
    """Return each process's speed and its record, by what was measured."""
    found: dict[Key, dict[Process, tuple[float, Record]]] = defaultdict(dict)
    for record in one.records:
        axes = tuple((axis, getattr(record.cell, axis)) for axis in Cell.__struct_fields__ if axis not in free)
        for quantity, value in speeds(record):
            found[axes, quantity][record.run, record.process] = value, record
    return found


def _differences(a: Part, b: Part, free: set[str]) -> Iterator[str]:
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


def _packages(one: Part) -> Mapping[str, str]:
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
    columns = (*_axes(comparison), "Quantity", "A", "B", "B over A", "Adjusted p", "Verdict", "Flags")
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
            *_said(pair.verdict, comparison.stands),
            ", ".join(pair.flags) or NOTHING,
        )
        for pair in pairs
    )
    return Table(
        title=f"B = {comparison.b} against A = {comparison.a}",
        columns=columns,
        labels=len(_axes(comparison)) + 1,
        rows=rows,
        notes=(
            _NOTE.format(
                how=_IN_TURNS if comparison.in_turns else _APART,
                margin=comparison.margin,
                false_discoveries=FALSE_DISCOVERIES,
            ),
            *_control_notes(comparison),
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


def _control_notes(comparison: Comparison) -> Iterator[str]:
    for pair in comparison.control:
        if pair.verdict is not None:
            ratio, _, said = _said(pair.verdict, True)
            cell = ", ".join(str(pair.cell[axis]) for axis in ("architecture", "framework", "precision", "execution"))
            yield f"Control, A against A: {cell}, {pair.quantity}: {ratio}, {said}."
    if not comparison.stands:
        yield "The control differs from itself, so no verdict of this run stands."


def _said(verdict: Verdict | None, stands: bool) -> tuple[str, str, str]:
    if verdict is None:
        return NOTHING, NOTHING, "too few processes" if stands else "none: the control differs"
    ratio = f"{verdict.ratio:.3f} ({verdict.low:.3f}–{verdict.high:.3f})"
    return ratio, f"{verdict.adjusted_p:.2g}", verdict.judgement.value


_APART = "ratio of geometric means (Welch)"
_IN_TURNS = "the mean ratio of processes that took turns, of each pair the median over blocks side by side"
_NOTE = (
    "Rates: median over processes, more is faster; a latency stands as requests a second. B over A: {how}, "
    "with Student's 95 % interval over processes. FASTER and SLOWER: the interval wholly beyond ±{margin:.3g} and p, "
    "adjusted over all rows, at most {false_discoveries}; SAME: wholly within; else INCONCLUSIVE."
)
