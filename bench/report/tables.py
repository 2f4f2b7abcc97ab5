"""The comparison tables of one run."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from bench.frameworks import FRAMEWORKS, library
from bench.measure import PROBE
from bench.plan.cards import framework_model, model_card, model_names
from bench.plan.cell import PRECISIONS, Cell
from bench.records.record import Accuracy, BatchSize, Build, Export, Inference, Memory, MemoryPeak, Record, Training
from bench.report.format import NOTHING, mebibytes, milliseconds, number, percent, rate, top1
from bench.report.table import Table

T = TypeVar("T")


class Row(NamedTuple):
    """What stands behind one row: a cell with its records."""

    cell: Cell
    records: list[Record]

    def figures(self, kind: type[T]) -> list[T]:
        """Return the figures of one kind, one a process."""
        return [record.figures for record in self.records if isinstance(record.figures, kind)]

    @property
    def batch_size(self) -> int:
        return next(record.batch_size for record in self.records if record.figures and record.batch_size)


Columns = dict[str, Callable[[Row], str]]


def tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """Return every table that the records of one run fill, sorted and with fixed digits.

    Rows stand in one table only where device, data set, weights and recipe are the same.
    """
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        cell = record.cell
        groups[(cell.dataset, f"{cell.weights} weights", f"recipe {cell.recipe}", f"on {cell.device}")].append(record)
    found = [table for fixed in sorted(groups) for table in _overviews(", ".join(fixed), groups[fixed])]
    found.append(_table("Models", _rows(records, Build), _MODELS, 2, _MODELS_NOTES))
    for fixed in sorted(groups):
        said, own = ", ".join(fixed), groups[fixed]
        found += [
            _table(f"Training and accuracy: {said}", _rows(own, Training, Accuracy), _TRAINING, 4, _TRAINING_NOTES),
            _table(f"Inference: {said}", _rows(own, Inference), _INFERENCE, 4, _INFERENCE_NOTES),
            _table(f"Exports: {said}", _export_rows(own), _EXPORTS, 4, _EXPORTS_NOTES),
        ]
    found.append(_not_measured(records))
    return tuple(_with_differences(table) for table in found if table.rows)


def _overviews(said: str, records: Sequence[Record]) -> list[Table]:
    """Return one table a library's kind, with one row a model, and one that sets every framework's side by side."""
    models = _models(records)
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in models:
        kinds[FRAMEWORKS[row.cell.framework].kind].append(row)
    frameworks: dict[str, set[str]] = defaultdict(set)
    for row in models:
        frameworks[row.cell.architecture].add(row.cell.framework)
    found = [_table(f"{kind}: {said}", rows, _OVERVIEW, 4, _OVERVIEW_NOTES) for kind, rows in sorted(kinds.items())]
    if len(kinds) > 1:
        widest = max(sorted(frameworks), key=lambda architecture: len(frameworks[architecture]))
        rows = [row for row in models if row.cell.architecture == widest]
        title = f"{model_card(widest).title} in {len(frameworks[widest])} frameworks: {said}"
        found.append(_table(title, rows, _OVERVIEW, 4, _OVERVIEW_NOTES))
    return found


def _models(records: Sequence[Record]) -> list[Row]:
    """Return one row a model as one framework runs it: its cells in one precision, fp32 where that was measured."""
    cells: dict[tuple[str, str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.figures is not None and not isinstance(record.figures, Export | BatchSize):
            cell = record.cell
            cells[cell.architecture, cell.framework, cell.execution][cell.precision].append(record)
    rows = []
    for precisions in cells.values():
        timed = [
            name for name, own in precisions.items() if any(isinstance(r.figures, Training | Inference) for r in own)
        ]
        if timed:
            own = precisions[min(timed, key=list(PRECISIONS).index)]
            built = [record for record in precisions["fp32"] if isinstance(record.figures, Build) and record not in own]
            rows.append(Row(own[0].cell, sorted([*own, *built], key=lambda r: (r.cell.id, r.measurement, r.process))))
    return sorted(rows, key=lambda row: (row.cell.architecture, row.cell.framework, row.cell.execution))


def _with_differences(table: Table) -> Table:
    """Return the table with a note on each architecture whose rows are not of the same network in every library."""
    if table.columns[:2] != tuple(_MODEL):
        return table
    shown: dict[str, set[str]] = defaultdict(set)
    for title, framework, *_ in table.rows:
        shown[title].add(library(framework))
    notes = []
    for name in model_names():
        card = model_card(name)
        libraries = shown[card.title]
        for own in sorted(libraries & card.frameworks.keys()) if len(libraries) > 1 else ():
            said = "; ".join(card.frameworks[own].differences.values())
            notes += [f"{card.title}, {own}: {said}."] if said else []
    return msgspec.structs.replace(table, notes=(*table.notes, *_merged(notes)))


def _merged(notes: Sequence[str]) -> tuple[str, ...]:
    """Return one paragraph for all the notes on differences, or none."""
    return (" ".join(["Not the network of the first framework on the card:", *notes]),) if notes else ()


def _rows(records: Sequence[Record], *kinds: type) -> list[Row]:
    """Return one row a cell that has figures of any of the kinds."""
    cells: dict[Cell, list[Record]] = defaultdict(list)
    for record in records:
        cells[record.cell].append(record)
    rows = [Row(cell, sorted(own, key=lambda r: (r.measurement, r.process))) for cell, own in cells.items()]
    return [row for row in sorted(rows, key=_order) if any(row.figures(kind) for kind in kinds)]


def _export_rows(records: Sequence[Record]) -> list[Row]:
    """Return one row an exported artifact."""
    return [
        Row(row.cell, [record])
        for row in _rows(records, Export)
        for record in row.records
        if isinstance(record.figures, Export)
    ]


def _order(row: Row) -> tuple[object, ...]:
    cell = row.cell
    precision = list(PRECISIONS).index(cell.precision)
    return (
        cell.architecture,
        cell.image_size,
        cell.framework,
        cell.execution,
        precision,
        str(cell.batch_size).zfill(6),
    )


def _table(title: str, rows: list[Row], columns: Columns, labels: int, notes: dict[str, str]) -> Table:
    """Return a table of the columns in which any row has something, with the notes on them."""
    texts = tuple(dict.fromkeys(tuple(show(row) for show in columns.values()) for row in rows))
    measured = [number for number in range(len(columns)) if any(text[number] != NOTHING for text in texts)]
    kept = tuple(list(columns)[number] for number in measured)
    return Table(
        title=title,
        columns=kept,
        labels=labels,
        rows=tuple(tuple(text[number] for number in measured) for text in texts),
        notes=tuple(note for about, note in notes.items() if about in ("", *kept)),
    )


def _not_measured(records: Sequence[Record]) -> Table:
    rows = {
        (record.cell.id, record.measurement, record.status, record.reason or "")
        for record in records
        if record.status != "ok" and record.measurement != PROBE
    }
    columns = ("Cell", "Measurement", "Status", "Reason")
    return Table(title="Not measured", columns=columns, labels=4, rows=tuple(sorted(rows)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _peak(peaks: Sequence[MemoryPeak]) -> str:
    return mebibytes(max((peak.allocated_bytes or peak.resident_bytes for peak in peaks), default=None))


def _batch(row: Row) -> str:
    return f"{row.batch_size} (auto)" if row.cell.batch_size == "auto" else str(row.batch_size)


def _published(row: Row) -> str:
    card = model_card(row.cell.architecture)
    own = framework_model(row.cell.architecture, row.cell.framework)
    note = f"; {own.note}" if own is not None and own.note else ""
    return (card.published.source if card.published else NOTHING) + note


def _published_number(row: Row, field: str, scale: float) -> str:
    published = model_card(row.cell.architecture).published
    return NOTHING if published is None else number(getattr(published, field) * scale, 2)


def _top1(row: Row) -> str:
    accuracies = row.figures(Accuracy)
    return top1([a.test_top1 for a in accuracies], accuracies[0].test_images) if accuracies else NOTHING


def _part(row: Row, kind: type) -> Row:
    """Return a model's records of one kind, of one cell: that with the largest images and, among those, batch."""
    own = [record for record in row.records if isinstance(record.figures, kind)]
    if not own:
        return Row(row.cell, [])
    cell = max(
        (record.cell for record in own), key=lambda cell: (cell.image_size, str(cell.batch_size).zfill(6), cell.id)
    )
    return Row(cell, [record for record in own if record.cell == cell])


def _beside(row: Row, kind: type) -> Row:
    """Return all of a model's records of the cell that its figures of one kind are of."""
    part = _part(row, kind)
    return Row(part.cell, [record for record in row.records if part.records and record.cell == part.cell])


def _shape(row: Row) -> str:
    return f"{row.batch_size} × {row.cell.image_size} px" if row.records else NOTHING


def _parameters(row: Row) -> float | None:
    return next((build.parameters / 1e6 for build in row.figures(Build)), None)


def _count(row: Row, kind: type[T]) -> str:
    return str(len(row.figures(kind)) or NOTHING)


def _first(row: Row, kind: type[T]) -> T:
    return row.figures(kind)[0]


def _latency(share: float) -> Callable[[Row], str]:
    """Return a column of a percentile over the requests of all processes."""
    return lambda row: milliseconds([s for i in row.figures(Inference) for s in i.latency_seconds], share)


def _export_latency(share: float) -> Callable[[Row], str]:
    return lambda row: milliseconds(_first(row, Export).latency_seconds, share)


_MODEL: Columns = {
    "Architecture": lambda row: model_card(row.cell.architecture).title,
    "Framework": lambda row: row.cell.framework,
}
_AXES: Columns = _MODEL | {
    "Precision": lambda row: row.cell.precision,
    "Execution": lambda row: row.cell.execution,
    "Batch": _batch,
    "Image px": lambda row: str(row.cell.image_size),
}
_MODELS: Columns = _MODEL | {
    "Image px": lambda row: str(row.cell.image_size),
    "Parameters, M": lambda row: number(_first(row, Build).parameters / 1e6, 2),
    "GFLOPs an image": lambda row: number((_first(row, Build).flops_per_image or 0) / 1e9 or None, 3),
    "Published parameters, M": lambda row: _published_number(row, "parameters", 1e-6),
    "Published top-1, %": lambda row: _published_number(row, "top1_percent", 1),
    "Published by": _published,
}
_OVERVIEW: Columns = _MODEL | {
    "Precision": lambda row: row.cell.precision,
    "Execution": lambda row: row.cell.execution,
    "Parameters, M": lambda row: number(_parameters(row), 2),
    "Published top-1, %": lambda row: _published_number(row, "top1_percent", 1),
    "Top-1 on test, %": lambda row: _top1(_part(row, Accuracy)),
    "Trained for it at": lambda row: _shape(_part(row, Accuracy)),
    "Training timed at": lambda row: _shape(_part(row, Training)),
    "Training img/s": lambda row: rate(
        [t.resident.images_per_second(_part(row, Training).batch_size) for t in _part(row, Training).figures(Training)]
    ),
    "Peak memory, MiB": lambda row: _peak([m.training for m in _beside(row, Training).figures(Memory)]),
    "Inference timed at": lambda row: _shape(_part(row, Inference)),
    "Inference img/s": lambda row: rate(
        [
            i.resident.images_per_second(_part(row, Inference).batch_size)
            for i in _part(row, Inference).figures(Inference)
        ]
    ),
    "p50, ms": lambda row: _latency(0.5)(_part(row, Inference)),
    "Best for": lambda row: model_card(row.cell.architecture).best_for or NOTHING,
}
_TRAINING: Columns = _AXES | {
    "Top-1 on test, %": _top1,
    "s an epoch": lambda row: rate([a.epochs[-1].elapsed_seconds / len(a.epochs) for a in row.figures(Accuracy)]),
    "s to best epoch": lambda row: rate([a.epochs[a.best_epoch - 1].elapsed_seconds for a in row.figures(Accuracy)]),
    "Training img/s": lambda row: rate([t.resident.images_per_second(row.batch_size) for t in row.figures(Training)]),
    "from the loader": lambda row: rate(
        [t.loader.steps * row.batch_size / t.loader.total_seconds for t in row.figures(Training)]
    ),
    "Data wait": lambda row: percent(
        _mean([t.loader.wait_seconds / t.loader.total_seconds for t in row.figures(Training)])
    ),
    "First step, s": lambda row: number(_mean([t.first_step_seconds for t in row.figures(Training)]), 2),
    "Compile, s": lambda row: number(_mean([t.compile_seconds for t in row.figures(Training)])),
    "Processes": lambda row: _count(row, Training),
    "Seeds": lambda row: _count(row, Accuracy),
    "Peak memory, MiB": lambda row: _peak([m.training for m in row.figures(Memory)]),
}
_INFERENCE: Columns = _AXES | {
    "img/s": lambda row: rate([i.resident.images_per_second(row.batch_size) for i in row.figures(Inference)]),
    "p50, ms": _latency(0.5),
    "p90, ms": _latency(0.9),
    "p99, ms": _latency(0.99),
    "First batch, s": lambda row: number(_mean([i.first_batch_seconds for i in row.figures(Inference)]), 2),
    "Compile, s": lambda row: number(_mean([i.compile_seconds for i in row.figures(Inference)])),
    "Processes": lambda row: _count(row, Inference),
    "Peak memory, MiB": lambda row: _peak([m.inference for m in row.figures(Memory)]),
}
_EXPORTS: Columns = _MODEL | {
    "Format": lambda row: row.records[0].measurement.partition(":")[2],
    "Made by; run by": lambda row: (
        f"{_first(row, Export).method}; {_first(row, Export).runtime}, {_first(row, Export).threads} threads"
    ),
    "Image px": lambda row: str(row.cell.image_size),
    "Export, s": lambda row: number(_first(row, Export).export_seconds),
    "MiB": lambda row: number(_first(row, Export).artifact_bytes / 2**20),
    "Load, ms": lambda row: milliseconds([_first(row, Export).load_seconds], 0.5),
    "First, ms": lambda row: milliseconds([_first(row, Export).first_inference_seconds], 0.5),
    "p50, ms": _export_latency(0.5),
    "p90, ms": _export_latency(0.9),
    "p99, ms": _export_latency(0.99),
    "Largest error": lambda row: f"{_first(row, Export).maximum_relative_error:.0e}",
    "Equal top-1": lambda row: percent(_first(row, Export).top1_agreement),
}
_RATE_NOTE = (
    "Rates: median over processes; in brackets their whole range below six processes, from six on the 95 % interval of the "
    "median (order statistics)."
)
_MEMORY_NOTE = (
    "Peak memory: on a GPU the allocator's peak, on a CPU the resident peak above what stood before the model."
)
_OVERVIEW_NOTE = (
    "64 × 40 px: batches of 64 images of 40 px. Each figure stands again below among its neighbours: these are fp32 where "
    "that was measured, of the largest images and batch where there are several. Published figures are not measurements of ours."
)
# By the column that a note is about; one on the whole table has none.
_MODELS_NOTES = {
    "": "Parameters as built, with a classifier for the data set's classes; published parameters with 1,000. FLOPs count two a "
    "multiply-accumulate, one forward pass. Published figures are not measurements of ours.",
}
_OVERVIEW_NOTES = {"": _OVERVIEW_NOTE}
_TRAINING_NOTES = {
    "Training img/s": _RATE_NOTE,
    "Top-1 on test, %": "Top-1: one process a seed, their mean; in brackets Wilson's 95 % interval for a test split of this "
    "size, which says nothing of other seeds. The epoch was chosen on validation.",
    "Peak memory, MiB": _MEMORY_NOTE,
}
_INFERENCE_NOTES = {
    "img/s": _RATE_NOTE,
    "p50, ms": "Latency is of single images, over the requests of all processes. 'too few': a percentile needs 64 samples at "
    "p90 and 662 at p99 (MLPerf LoadGen's rule).",
    "Peak memory, MiB": _MEMORY_NOTE,
}
_EXPORTS_NOTES = {
    "": "One process each. The largest error is over all logits of the compared images, as a share of the largest logit; an "
    "artifact above the tolerance has no row here but one below.",
}
