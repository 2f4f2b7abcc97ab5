"""A comparison's table: columns that match their ratio, and what a reader must know of the verdicts."""

from statistics import geometric_mean

import msgspec
import pytest
from test_compare import changed_cells, column, run, turns

from bench.records.record import Record, Training
from bench.report.compare import compare, part, sides
from bench.report.comparison import table


def interrupted(records: list[Record]) -> list[Record]:
    """Return the records with one block of B each that took ten times as long, which the median over blocks passes over."""
    found = []
    for record in records:
        if record.side == "b":
            assert isinstance(record.figures, Training)
            took = record.figures.resident.block_seconds
            blocks = msgspec.structs.replace(record.figures.resident, block_seconds=(10 * took[0], *took, *took))
            record = msgspec.structs.replace(record, figures=msgspec.structs.replace(record.figures, resident=blocks))
        elif isinstance(record.figures, Training):
            took = record.figures.resident.block_seconds
            blocks = msgspec.structs.replace(record.figures.resident, block_seconds=(took[0], *took, *took))
            record = msgspec.structs.replace(record, figures=msgspec.structs.replace(record.figures, resident=blocks))
        found.append(record)
    return found


def test_the_columns_are_of_the_estimator_of_the_ratio():
    """Medians beside a ratio of geometric means once read 32.0, 24.6 and 0.916."""
    found = compare(part("a", run(1.0, 1.0, 1.0, 1.0, 1.3, 1.3)), part("b", run(1.0, 1.0, 1.3, 1.3, 1.3, 1.3)))
    in_turns = compare(*sides("run.jsonl", interrupted(turns(ratio_b=1.2))))
    for comparison in (found, in_turns):
        shown = zip(*(column(comparison, name) for name in ("A", "B", "B over A")), strict=True)
        for a, b, ratio in shown:
            assert float(a) == pytest.approx(geometric_mean(comparison.pairs[0].a), rel=0.01)
            assert float(b) / float(a) == pytest.approx(float(ratio.split()[0]), rel=0.01)


def test_a_verdict_that_no_clock_could_check_says_so():
    unknown = changed_cells(turns(ratio_b=1.05), device="cuda")
    found = compare(*sides("run.jsonl", unknown))
    assert [pair.in_cycles for pair in found.pairs] == [False, False]
    assert any("Not checked in images a clock cycle" in note for note in table(found).notes)
    on_cpu = compare(*sides("run.jsonl", turns(ratio_b=1.05)))
    assert [pair.in_cycles for pair in on_cpu.pairs] == [None, None]
