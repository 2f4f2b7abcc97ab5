"""Two sets of results held against each other: which rows they share, and what can be said of each."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from bench.errors import UsageError, unknown
from bench.measure.verdict import SAME_MACHINE_MARGIN, Judgement, Verdict, paired, unpaired, verdicts
from bench.plan.cell import Cell
from bench.records.flags import flags
from bench.records.rates import log_ratio, sm_mhz, speeds
from bench.records.record import Record
from bench.report.conditions import Key, axes, unlike
from bench.report.format import counted

# Fewer processes, or the same figure copied, give no spread to judge by.
FEWEST = 2
TWO_RUNS_MARGIN = 0.05
_CONTROL = "a-again"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its name as given, its records, and the axes that it fixes to a value of its own.

    `controls`: a run each, what it measured twice as if it were two, first and again.
    """

    name: str
    records: tuple[Record, ...]
    fixed: dict[str, str]
    controls: dict[str, tuple[tuple[Record, ...], tuple[Record, ...]]]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one cell on both sides, a rate a process each: more is faster. No verdict with too few processes.

    `flags`: of either side. `in_cycles`: whether a verdict on a GPU was checked in images a clock cycle; None where it
    need not be.
    """

    cell: dict[str, str | int]
    quantity: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    verdict: Verdict | None
    flags: tuple[str, ...]
    in_cycles: bool | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`differences`: in what the sides are unlike but for what was measured. `a_alone`, `b_alone`: rows that one side has.

    `a_code`, `b_code`: the commits that were measured. `between`: what the sides of one run were made to differ in.

    `in_turns`: whether both ran on one machine in turns, process against process. `machines`: in what those differ.
    `control`: the same thing measured twice, where a run has it. `stands`: False where that differs: no verdict then does.
    """

    a: str
    b: str
    in_turns: bool
    margin: float
    differences: tuple[str, ...]
    machines: tuple[str, ...]
    pairs: tuple[Pair, ...]
    control: tuple[Pair, ...]
    stands: bool
    a_code: str
    b_code: str
    between: tuple[str, ...]
    a_alone: tuple[str, ...]
    b_alone: tuple[str, ...]

    @property
    def controlled(self) -> bool:
        """Whether the same thing measured twice was judged: a control that has failed, or of too few processes, is none."""
        return any(pair.verdict for pair in self.control)


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
    kept = tuple(
        record
        for record in records
        if ("side" in fixed or record.side != _CONTROL)
        and all(_value(record, axis) == value for axis, value in fixed.items())
    )
    if not any(record.figures for record in kept):
        raise UsageError(f"{text}: no results; bench list and the file's own table say what there is")
    if has_both_sides(kept):
        raise UsageError(f"{text} has two sides: write {text}{',' if label else ':'}side=b, or side=a")
    runs = {record.run for record in kept}
    return Part(name=text, records=kept, fixed=fixed, controls=controls([r for r in records if r.run in runs]))


def sides(path: str, records: Sequence[Record]) -> tuple[Part, Part]:
    """Return A and B of one run that compares; raise `UsageError` for a run of one side."""
    if not has_both_sides(records):
        raise UsageError(f"{path} has figures of one side only; name two results, or measure with bench run --against")
    return part(f"{path}:side=a", records), part(f"{path}:side=b", records)


def has_both_sides(records: Sequence[Record]) -> bool:
    """Return whether a run that compares has come to figures of A and of B."""
    return {"a", "b"} <= {record.side for record in records if record.figures}


def controls(records: Sequence[Record]) -> dict[str, tuple[tuple[Record, ...], tuple[Record, ...]]]:
    """Return what each run measured twice, first and again, by the run's name."""
    again = [record for record in records if record.side == _CONTROL and record.figures]
    rows = {(record.run, record.cell, record.measurement) for record in again}
    first = [r for r in records if r.side in ("a", None) and r.figures and (r.run, r.cell, r.measurement) in rows]
    return {
        run: (tuple(r for r in first if r.run == run), tuple(r for r in again if r.run == run))
        for run in {record.run for record in first}
    }


def hint(a: Part, b: Part) -> str:
    """Return which axes, each of one value in either part but not the same, keep the parts from having rows in common."""
    apart = []
    for axis in Cell.__struct_fields__:
        values = [{_value(record, axis) for record in one.records if record.figures} for one in (a, b)]
        if (
            axis not in a.fixed.keys() | b.fixed.keys()
            and all(len(own) == 1 for own in values)
            and values[0] != values[1]
        ):
            apart.append(f"{axis}={min(values[0])} to A and {axis}={min(values[1])} to B")
    return f"; to compare them all the same add {', '.join(apart)}" if apart else ""


def _value(record: Record, axis: str) -> str:
    return str(record.side if axis == "side" else getattr(record.cell, axis))


def compare(a: Part, b: Part, margin: float | None = None) -> Comparison:
    """Match what both sides have, but for the axes that either fixes, and judge every pair; over all rows together.

    Sides of one run are held against each other process by process, with a margin of 1 %; else two runs, with 5 %; or of
    what a control gave where that is more than it, and than a margin that is asked for. No pairs where the sides have no timed
    row in common. Raises `UsageError` where one row of a side would be of several cells, and where the sides are one.
    """
    if margin is not None and not 0 < margin < 1:
        raise UsageError(f"--margin {margin:g} is no share between 0 and 1; 5 % is 0.05")
    if a.name == b.name:
        raise UsageError(f"{a.name} is named twice: nothing is compared")
    in_turns = _in_turns(a, b)
    checked = tuple(pair for first, again in (a.controls | b.controls).values() for pair in control(first, again))
    asked = margin or (SAME_MACHINE_MARGIN if in_turns else TWO_RUNS_MARGIN)
    margin = max([asked, *(abs(pair.verdict.ratio - 1) for pair in checked if pair.verdict)])
    free = a.fixed.keys() | b.fixed.keys()
    found = [_by_process(one.name, one.records, free) for one in (a, b)]
    pairs = _judged(found[0], found[1], margin, in_turns)
    stands = stand(checked)
    held = [[record for record in one.records if record.figures] for one in (a, b)]
    differences, machines = unlike(held[0], held[1], free)
    return Comparison(
        a=a.name,
        b=b.name,
        in_turns=in_turns,
        margin=margin,
        a_code=_code(held[0]),
        b_code=_code(held[1]),
        differences=() if in_turns else differences,
        between=differences if in_turns else (),
        machines=machines,
        pairs=pairs if stands else tuple(msgspec.structs.replace(pair, verdict=None) for pair in pairs),
        control=checked,
        stands=stands,
        a_alone=_named(found[0].keys() - found[1].keys()),
        b_alone=_named(found[1].keys() - found[0].keys()),
    )


def _code(records: Sequence[Record]) -> str:
    """Return the commits that records were measured at."""
    there = {(record.environment.commit or "unknown")[:12]: record.environment.dirty for record in records}
    return ", ".join(f"{commit}{' with changes' if dirty else ''}" for commit, dirty in sorted(there.items()))


def _named(rows: AbstractSet[Key]) -> tuple[str, ...]:
    return tuple(f"{'/'.join(str(value) for _, value in key[0])}, {key[1]}" for key in sorted(rows, key=_order))


def _in_turns(a: Part, b: Part) -> bool:
    """Return whether the parts are two sides of the same runs, and fix nothing else to different values."""
    rest = [{axis: value for axis, value in one.fixed.items() if axis != "side"} for one in (a, b)]
    runs = [{record.run for record in one.records} for one in (a, b)]
    return {"side"} <= a.fixed.keys() & b.fixed.keys() and rest[0] == rest[1] and runs[0] == runs[1]


Process = tuple[str, int]
Speeds = dict[Process, tuple[float, Record]]
Rows = dict[Key, tuple[Speeds, Speeds]]
Judged = tuple[Verdict, bool | None]


def control(first: Sequence[Record], again: Sequence[Record]) -> tuple[Pair, ...]:
    """Return the verdicts on what a run measured twice, of which none should say that it differs."""
    in_turns = first[0].side is not None
    rows = [_by_process(records[0].run, records, frozenset()) for records in (first, again)]
    return _judged(rows[0], rows[1], SAME_MACHINE_MARGIN if in_turns else TWO_RUNS_MARGIN, in_turns)


def _judged(a: dict[Key, Speeds], b: dict[Key, Speeds], margin: float, in_turns: bool) -> tuple[Pair, ...]:
    """Return the rows that both have, with their verdicts."""
    rows = {key: (a[key], b[key]) for key in sorted(a.keys() & b.keys(), key=_order)}
    judged = (_judged_in_turns if in_turns else _judged_apart)(rows, margin)
    flagged = _flagged(rows)
    return tuple(
        Pair(
            cell=dict(key[0]),
            quantity=key[1],
            a=tuple(value for value, _ in a[key].values()),
            b=tuple(value for value, _ in b[key].values()),
            verdict=judged[key][0] if key in judged else None,
            flags=flagged[key],
            in_cycles=judged[key][1] if key in judged else None,
        )
        for key in rows
    )


def _flagged(rows: Rows) -> dict[Key, tuple[str, ...]]:
    """Return the flags of either side of each row; those of one cell's quantities, which are of the same records, once."""
    known: dict[tuple[int, ...], dict[str, str]] = {}
    found: dict[Key, tuple[str, ...]] = {}
    for key, both in rows.items():
        said: dict[str, None] = {}
        for own in both:
            records = [record for _, record in own.values()]
            which = tuple(map(id, records))
            if which not in known:
                known[which] = flags(records)
            said |= dict.fromkeys(known[which])
        found[key] = tuple(said)
    return found


def _judged_apart(rows: Rows, margin: float) -> dict[Key, Judged]:
    rates = {key: [[value for value, _ in own.values()] for own in both] for key, both in rows.items()}
    judged = {key: both for key, both in rates.items() if all(len(set(own)) >= FEWEST for own in both)}
    found = verdicts([unpaired(*both) for both in judged.values()], margin)
    return {key: (verdict, None) for key, verdict in zip(judged, found, strict=True)}


def _judged_in_turns(rows: Rows, margin: float) -> dict[Key, Judged]:
    """Judge the log ratios of processes that took turns; on a GPU once more with rates taken a clock cycle.

    There a verdict of difference that cycles do not repeat becomes INCONCLUSIVE: a clock that moved is no speed-up. Pairs
    without a clock have no say in that; where all but one lack it, the verdict is marked as not checked.
    """
    ratios, cycles = {}, {}
    for key, (a, b) in rows.items():
        pairs = [(a[process][1], b[process][1]) for process in sorted(a.keys() & b.keys())]
        found = [log_ratio(key[1], *pair) for pair in pairs]
        if len(set(found)) < FEWEST:
            continue
        ratios[key] = found
        clocks = [(sm_mhz(key[1], first), sm_mhz(key[1], second)) for first, second in pairs]
        own = [
            r - math.log(second / first) for r, (first, second) in zip(found, clocks, strict=True) if first and second
        ]
        if len(set(own)) >= FEWEST:
            cycles[key] = own
    judged = dict(zip(ratios, verdicts([paired(own) for own in ratios.values()], margin), strict=True))
    again = dict(zip(cycles, verdicts([paired(own) for own in cycles.values()], margin), strict=True))
    return {key: _checked(verdict, again.get(key), rows[key][0]) for key, verdict in judged.items()}


def _checked(verdict: Verdict, in_cycles: Verdict | None, a: Speeds) -> Judged:
    if in_cycles is None:
        on_gpu = any(record.cell.device.startswith("cuda") for _, record in a.values())
        return verdict, False if on_gpu else None
    if _differs(verdict) and in_cycles.judgement is not verdict.judgement:
        return msgspec.structs.replace(verdict, judgement=Judgement.INCONCLUSIVE), True
    return verdict, True


def stand(measured_twice: Sequence[Pair]) -> bool:
    """Return whether the verdicts of a run stand: not where its control differs from itself."""
    return not any(_differs(pair.verdict) for pair in measured_twice)


def _differs(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.judgement in (Judgement.FASTER, Judgement.SLOWER)


def _order(key: Key) -> tuple[str, ...]:
    return *(str(value) for _, value in key[0]), key[1]


def _by_process(name: str, records: Sequence[Record], free: AbstractSet[str]) -> dict[Key, Speeds]:
    """Return each process's speed and its record, by what was measured."""
    found: dict[Key, Speeds] = defaultdict(dict)
    for record in records:
        fixed = axes(record.cell, free)
        for quantity, value in speeds(record):
            own, process = found[fixed, quantity], (record.run, record.process)
            if process in own:
                other = own[process][1].cell
                several = [
                    axis for axis in free if axis != "side" and _value(record, axis) != str(getattr(other, axis))
                ]
                raise UsageError(
                    f"{name} has several {quantity} figures of one process where the comparison leaves "
                    f"{', '.join(sorted(several)) or 'nothing'} free: {other.id} and {record.cell.id}; fix it on both sides"
                )
            own[process] = value, record
    return found


def not_cleared(comparison: Comparison) -> Iterator[str]:
    """Yield why nobody may say that B is not slower than A: a row is, or one that should have been judged was not."""
    judged = [pair.verdict.judgement for pair in comparison.pairs if pair.verdict]
    if slower := judged.count(Judgement.SLOWER):
        yield f"{counted(slower, 'row')} of B SLOWER"
    if comparison.a_alone:  # It failed in B, say.
        yield f"{counted(len(comparison.a_alone), 'row')} of A without figures of B"
    if not comparison.stands:
        yield "the control differs from itself, so no verdict of this run stands"
    elif unjudged := len(comparison.pairs) - len(judged):
        yield f"{counted(unjudged, 'row')} without a verdict, for too few processes"
    if comparison.in_turns and not comparison.controlled:
        yield "no control was judged, so nothing says what this run would have called different"
