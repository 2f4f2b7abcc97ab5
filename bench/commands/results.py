"""What reads results and measures nothing: report, show, compare and lint."""

import gc
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.records.record import Record


def report(
    results: Annotated[Path, typer.Option(help="a folder of results, or one file")] = Path("results"),
    readme: Annotated[Path, typer.Option(help="the file with the markers")] = Path("README.md"),
    check: Annotated[bool, typer.Option("--check", help="change nothing; exit 1 with a diff when they differ")] = False,
) -> None:
    """Write the tables of the results into the README, or check that they stand there."""
    from bench.report.readme import difference, write

    records = _records(results)
    if check:
        found = difference(readme, records)
        print(found or f"{readme} says what {results} says", end="" if found else "\n")
        sys.exit(1 if found else 0)
    print(f"{readme}: {'rewritten' if write(readme, records) else 'unchanged'}")


def show_(
    results: Annotated[Path, typer.Argument(metavar="[PATH]", help="a folder of results, or one file")] = Path(
        "results"
    ),
) -> None:
    """Print the tables of results once more."""
    from bench.report.readme import by_run, heading
    from bench.report.table import show
    from bench.report.tables import tables

    for records in by_run(_records(results)):
        show(*tables(records), heading=heading(records))


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="results, or a part of them: PATH:precision=fp32,execution=eager")
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="the same; without it A is a run --against, and holds both")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="the smallest difference that counts, as a share", show_default="0.05; 0.01 or more in turns"
        ),
    ] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="compare although protocol or software differ")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="slower", help="exit 1 when a row is SLOWER, B has none, or one that is no export's has no verdict"
        ),
    ] = None,
) -> None:
    """Say row by row whether B is faster than A, slower, the same, or that the evidence does not tell."""
    from bench.records.store import latest, read
    from bench.report import compare as comparing
    from bench.report import comparison
    from bench.report.table import show

    gc.disable()  # It reads, compares and ends: looking for garbage among millions of samples takes a second.
    if fail_on not in (None, "slower"):
        raise UsageError(f"--fail-on {fail_on!r} is none; write --fail-on slower")
    if b is None:
        first, second = comparing.sides(a, latest(read(Path(a))))
    else:
        first, second = (comparing.part(text, latest(read(Path(text.partition(":")[0])))) for text in (a, b))
    found = comparing.compare(first, second, margin)
    if not found.pairs:
        raise UsageError(f"{found.a} and {found.b} have no timed row in common{comparing.hint(first, second)}")
    if found.differences and not allow_different:
        listed = "\n  ".join(found.differences)
        raise UsageError(f"A and B are unlike; --allow-different compares them all the same:\n  {listed}")
    if as_json:
        print(comparison.as_json(found))
    else:
        show(comparison.table(found))
    reasons = tuple(comparing.not_cleared(found)) if fail_on else ()
    for reason in reasons:
        print(f"bench: {reason}", file=sys.stderr)
    sys.exit(1 if reasons else 0)


def lint(
    results: Annotated[Path, typer.Argument(help="a folder of results, or one file")] = Path("results"),
    flags: Annotated[bool, typer.Option("--flags", help="say of every flag what was seen; it is no finding")] = False,
) -> None:
    """Look for what cannot be, or cannot be believed, in results; exit 1 where something is found."""
    from bench.records.store import IncompleteRecord
    from bench.report.format import counted
    from bench.report.lint import flags_table, table
    from bench.report.lint import lint as findings
    from bench.report.table import show

    with warnings.catch_warnings(record=True, action="always", category=IncompleteRecord) as incomplete:
        records = _records(results)
    found = findings(records)
    if flags:
        show(flags_table(records))
    if found:
        show(table(found))
    for warning in incomplete:
        print(warning.message)
    total = len(found) + len(incomplete)
    print(f"{counted(len(records), 'record')}, {counted(total, 'finding')}")
    sys.exit(1 if total else 0)


def _records(results: Path) -> "list[Record]":
    """Return the newest record of every job in a file or a folder, of which there must be one."""
    from bench.records.store import latest, read

    records = latest(read(results))
    if not records:
        raise UsageError(f"{results}: no results; measure something first: bench run --matrix smoke")
    return records
