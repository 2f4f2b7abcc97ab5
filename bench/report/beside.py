"""What others publish of a GPU, beside what was measured on one of the same name."""

from collections.abc import Sequence
from statistics import median

from bench.plan.cards import ModelCard, PublishedRate, model_card
from bench.plan.cell import Cell
from bench.records.record import Inference, Record, Training
from bench.report.format import number, rate
from bench.report.row import Row
from bench.report.table import Table

_KINDS = {"training": Training, "inference": Inference}
_COLUMNS = (
    *("Architecture", "Framework", "Measured", "Precision", "Execution", "Batch", "img/s"),
    *("Published img/s", "Ours over theirs", "Theirs: precision", "Setting", "Source"),
)


def beside_published(rows: Sequence[Row]) -> Table:
    """Return a table of the rates that have a published one: same GPU, architecture, size, execution and kind of precision."""
    found = [
        line
        for row in rows
        for theirs in model_card(row.cell.architecture).published_rates
        if _comparable(row.cell, model_card(row.cell.architecture), theirs)
        for line in _lines(row, theirs)
    ]
    return Table(
        title="Beside published rates",
        columns=_COLUMNS,
        labels=6,
        rows=tuple(found),
        legend=(
            "Published rates are not measurements of ours: of the same GPU and architecture at its own size, in float16 or "
            "bfloat16 alike where it is mixed precision; the setting is theirs. Ours are of real images that lie on the device.",
        ),
    )


def _comparable(cell: Cell, card: ModelCard, theirs: PublishedRate) -> bool:
    both_mixed = cell.precision.startswith("amp-") and theirs.precision.startswith("amp-")
    same = both_mixed or cell.precision == theirs.precision
    return same and (cell.image_size, cell.execution) == (card.image_size, theirs.execution)


def _lines(row: Row, theirs: PublishedRate) -> list[tuple[str, ...]]:
    """Return the line of a row, none where it was not measured on that GPU."""
    records = [record for record in row.records_of(_KINDS[theirs.measurement]) if _gpu(record) == theirs.gpu]
    if not records:
        return []
    rates = [_rate(record) for record in records]
    cell = row.cell
    ratio = number(median(rates) / theirs.images_per_second, 3)
    return [
        (
            *(model_card(cell.architecture).title, cell.framework, theirs.measurement),
            *(cell.precision, cell.execution, str(row.batch_size), rate(rates)),
            *(f"{theirs.images_per_second:,.0f}", ratio, theirs.precision, theirs.setting, theirs.source),
        )
    ]


def _gpu(record: Record) -> str | None:
    gpu = record.environment.gpu(record.cell.device)
    return gpu.name if gpu else None


def _rate(record: Record) -> float:
    assert isinstance(record.figures, Training | Inference)
    assert record.batch_size is not None, "what is timed has a batch"
    return record.figures.resident.images_per_second(record.batch_size)
