"""The device's ceilings as a table."""

from bench.records.record import Ceiling, Ceilings, Outcome
from bench.report.format import NOTHING, number, rate
from bench.report.table import Table


def table(outcome: Outcome) -> Table | None:
    """Return the table of what was found; None where nothing was."""
    if not isinstance(outcome.figures, Ceilings):
        return None
    return ceilings_table("What this device can do at most", outcome.figures)


def ceilings_table(title: str, ceilings: Ceilings) -> Table:
    """Return the table of one device's ceilings."""
    return Table(
        title=title,
        columns=("Ceiling", "Side", "GFLOP/s", "GB/s"),
        labels=2,
        rows=tuple(_row(ceiling) for ceiling in ceilings.found),
        notes=(
            "The fastest square matrix product of each precision among a few sides, of random numbers, by PyTorch, and copies: "
            "those within the device's memory move each byte twice, reading and writing. All work over all time of one process; "
            f"in brackets the interval over its blocks. On a CPU with {ceilings.threads} threads.",
        ),
    )


def _row(ceiling: Ceiling) -> tuple[str, ...]:
    work = (ceiling.operations or ceiling.moved_bytes or 0) / 1e9
    steps = ceiling.blocks.steps_per_block
    said = rate([work * steps / seconds for seconds in ceiling.blocks.block_seconds])
    side = NOTHING if ceiling.side is None else number(ceiling.side, 0)
    return (ceiling.name, side, *((said, NOTHING) if ceiling.operations else (NOTHING, said)))
