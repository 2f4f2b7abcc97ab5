"""A comparison as a table and as JSON."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import msgspec

from bench.measure.statistics import FEWEST_FOR_INTERVAL
from bench.measure.verdict import FALSE_DISCOVERIES, Judgement, Verdict
from bench.report.compare import Comparison, Pair
from bench.report.format import NOTHING, counted, rate
from bench.report.table import Table


def table(comparison: Comparison) -> Table:
    """Return the comparison as a table, what differs clearly first."""
    axes = _axes(comparison.pairs)
    order = list(Judgement)
    pairs = sorted(
        comparison.pairs,
        key=lambda pair: order.index(pair.verdict.judgement) if pair.verdict else len(order),
    )
    rows = tuple(
        (
            *(str(pair.cell[axis]) for axis in axes),
            pair.quantity,
            *rates(pair),
            *_said(pair.verdict, comparison.stands),
            _processes(pair),
            ", ".join(pair.flags) or NOTHING,
        )
        for pair in pairs
    )
    return Table(
        title=f"B = {comparison.b} (commit {comparison.b_code}) against A = {comparison.a} (commit {comparison.a_code})",
        columns=(*axes, "Quantity", "A", "B", "B over A", "Adjusted p", "Verdict", "Processes", "Flags"),
        labels=len(axes) + 1,
        always=("B over A", "Verdict", "Flags"),
        rows=rows,
        notes=tuple(_notes(comparison)),
    )


def as_json(comparison: Comparison) -> str:
    """Return the comparison as JSON, its rates raw."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode()


def rates(pair: Pair) -> tuple[str, str]:
    """Return A's rate, the geometric mean over processes, and B's, which is A's times the ratio.

    Of two runs that is B's geometric mean. In turns it is not quite, for there the ratio is of blocks side by side; medians
    would contradict either.
    """
    a, b = (math.exp(fmean(map(math.log, own))) for own in (pair.a, pair.b))
    return rate([a]), rate([b if pair.verdict is None else a * pair.verdict.ratio])


def _processes(pair: Pair) -> str:
    counts = (len(pair.a), len(pair.b))
    return str(counts[0]) if counts[0] == counts[1] else f"{counts[0]} and {counts[1]}"


def _axes(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the axes on which the rows differ, so that each is told."""
    cells = [pair.cell for pair in pairs]
    return tuple(axis for axis in (cells[0] if cells else ()) if len({cell[axis] for cell in cells}) > 1)


def _notes(comparison: Comparison) -> Iterator[str]:
    yield _NOTE.format(
        how=_IN_TURNS if comparison.in_turns else _APART,
        margin=comparison.margin,
        false_discoveries=FALSE_DISCOVERIES,
    )
    few = [pair for pair in comparison.pairs if pair.verdict and min(len(pair.a), len(pair.b)) < FEWEST_FOR_INTERVAL]
    if few:
        yield (
            f"{counted(len(few), 'verdict')} of fewer than {FEWEST_FOR_INTERVAL} processes: the interval and p suppose that they "
            "scatter normally, which so few cannot show; --protocol standard has 6, rigorous 10."
        )
    unchecked = [pair.quantity for pair in comparison.pairs if pair.in_cycles is False]
    if unchecked:
        yield (
            f"Not checked in images a clock cycle, for no clock was read: {', '.join(sorted(set(unchecked)))} "
            f"({len(unchecked)} rows); a difference there may be the clock's."
        )
    for pair in comparison.control:
        if pair.verdict is not None:
            ratio, _, said = _said(pair.verdict, True)
            cell = ", ".join(str(pair.cell[axis]) for axis in ("architecture", "framework", "precision", "execution"))
            yield f"Control, the same measured twice: {cell}, {pair.quantity}: {ratio}, {said}."
    if not comparison.stands:
        yield "The control differs from itself, so no verdict of this run stands."
    if not comparison.controlled:
        why = "what was measured twice has too few processes" if comparison.control else "nothing was measured twice"
        yield f"No control: {why}, so nothing says what these runs would have called different."
    same = _same(comparison.pairs)
    if same:
        yield f"In every row: {same}."
    if comparison.in_turns:
        yield f"Between A and B: {'; '.join(comparison.between) or 'the same code and software'}."
    yield from _alone("A", comparison.a_alone)
    yield from _alone("B", comparison.b_alone)
    yield from (f"Unlike: {difference}." for difference in comparison.differences)
    yield from (f"Another machine: {difference}." for difference in comparison.machines)


def _same(pairs: Sequence[Pair]) -> str:
    """Return the axes that are alike in every row, which have no column."""
    shown = _axes(pairs)
    cell = pairs[0].cell if pairs else {}
    return ", ".join(f"{axis} {value}" for axis, value in cell.items() if axis not in shown)


def _alone(side: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        yield f"{side} alone has figures of: {'; '.join(rows[:_NAMED])}{more}."


def _said(verdict: Verdict | None, stands: bool) -> tuple[str, str, str]:
    if verdict is None:
        return NOTHING, NOTHING, "too few processes" if stands else "none: the control differs"
    ratio = f"{verdict.ratio:.3f} ({verdict.low:.3f}–{verdict.high:.3f})"
    return ratio, f"{verdict.adjusted_p:.2g}", verdict.judgement.value


_NAMED = 5
_APART = "ratio of geometric means (by Welch's test or Student's, the wider)"
_IN_TURNS = (
    "the geometric mean of the ratios of processes that took turns, of each pair the median over blocks side by side"
)
_NOTE = (
    "More is faster; a latency stands as requests a second. A: geometric mean over processes; B: A times the ratio. "
    "B over A: {how}, with Student's 95 % interval over processes. FASTER and SLOWER: the interval wholly beyond "
    "±{margin:.3g} and p, adjusted over all rows, at most {false_discoveries}; SAME: wholly within; else INCONCLUSIVE. The "
    "interval knows a row's own variance; p takes all rows' into account, so with few processes the two may seem to disagree."
)
