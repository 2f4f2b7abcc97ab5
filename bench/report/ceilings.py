"""The device's ceilings as a table."""

from bench.records.rates import COMPANY_CPUS
from bench.records.record import Ceiling, Ceilings, Outcome
from bench.report.format import NOTHING, number, rate
from bench.report.table import Table


def table(outcome: Outcome) -> Table | None:
    """Return the table of what was found; None where nothing was."""
    if not isinstance(outcome.figures, Ceilings):
        return None
    return ceilings_table("What this device can do at most", outcome.figures)


def ceilings_table(title: str, ceilings: Ceilings, busy_elsewhere: float | None = None) -> Table:
    """Return the table of one device's ceilings; `busy_elsewhere`: processors that something else kept busy meanwhile."""
    disturbed = (
        (f"Too low: {busy_elsewhere:.1f} processors were busy with something else. No row is held against these.",)
        if (busy_elsewhere or 0.0) > COMPANY_CPUS
        else ()
    )
    return Table(
        title=title,
        columns=("Ceiling", "Side", "GFLOP/s", "GB/s"),
        labels=2,
        rows=tuple(_row(ceiling) for ceiling in ceilings.found),
        notes=(
            "The fastest square matrix product of each precision among a few sides, of random numbers, by PyTorch, and copies: "
            "those within the device's memory move each byte twice, reading and writing. Each in its fastest block; on a CPU "
            f"with {ceilings.threads} threads.",
            *disturbed,
        ),
    )


def _row(ceiling: Ceiling) -> tuple[str, ...]:
    said = rate([ceiling.per_second / 1e9])
    side = NOTHING if ceiling.side is None else number(ceiling.side, 0)
    return (ceiling.name, side, *((said, NOTHING) if ceiling.operations else (NOTHING, said)))
