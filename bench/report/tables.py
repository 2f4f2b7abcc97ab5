"""The comparison tables of one run."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from bench.measure import PROBE
from bench.plan.cards import model_card
from bench.plan.cell import PRECISIONS, Cell
from bench.records.record import Accuracy, Build, Export, Inference, Memory, Record, Training
from bench.report.format import NOTHING, mebibytes, milliseconds, number, percent, rate, top1
from bench.report.table import Table

T = TypeVar("T")
# What a table holds fixed: rows that differ in any of these never stand in one table.
Fixed = tuple[str, str, str, str]
_AXES = ("Architecture", "Framework", "Precision", "Execution", "Batch", "Image px")


def tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """Return every table that the records of one run fill, sorted and with fixed digits."""
    found: list[Table | None] = [_models(records)]
    groups: dict[Fixed, list[Record]] = defaultdict(list)
    for record in records:
        cell = record.cell
        groups[(cell.device, cell.dataset, cell.weights, cell.recipe)].append(record)
    for fixed in sorted(groups):
        found += [_training(groups[fixed], fixed), _inference(groups[fixed], fixed), _exports(groups[fixed], fixed)]
    found.append(_not_measured(records))
    return tuple(table for table in found if table is not None)


def _models(records: Sequence[Record]) -> Table | None:
    rows = {}
    for record in sorted(records, key=lambda record: _order(record.cell)):
        if isinstance(record.figures, Build):
            card = model_card(record.cell.architecture)
            own = card.frameworks.get(record.cell.framework)
            rows[(record.cell.architecture, record.cell.framework, record.cell.image_size)] = (
                card.title,
                record.cell.framework,
                str(record.cell.image_size),
                number(record.figures.parameters / 1e6, 2),
                number(record.figures.flops_per_image / 1e9, 3) if record.figures.flops_per_image else NOTHING,
                number(card.published.parameters / 1e6, 2) if card.published else NOTHING,
                number(card.published.top1_percent, 2) if card.published else NOTHING,
                (card.published.source if card.published else NOTHING)
                + (f". {own.note}" if own is not None and own.note else ""),
            )
    if not rows:
        return None
    return Table(
        title="Models",
        columns=(
            "Architecture",
            "Framework",
            "Image px",
            "Parameters, M",
            "GFLOPs an image",
            "Published parameters, M",
            "Published top-1, %",
            "Published by",
        ),
        labels=2,
        rows=tuple(rows.values()),
        notes=(
            "Parameters as built, with a classifier for the data set's classes; published parameters with 1,000. "
            "FLOPs count two a multiply-accumulate, one forward pass. Published figures are not measurements of ours.",
        ),
    )


def _training(records: Sequence[Record], fixed: Fixed) -> Table | None:
    rows = []
    for cell, own in _by_cell(records):
        accuracies, trainings = _figures(own, Accuracy), _figures(own, Training)
        if not (accuracies or trainings):
            continue
        batch = _batch_size(own)
        rows.append(
            (
                *_axes(cell, batch),
                top1([a.test_top1 for a in accuracies], accuracies[0].test_images if accuracies else 1),
                rate([a.epochs[-1].elapsed_seconds / len(a.epochs) for a in accuracies]),
                rate([a.epochs[a.best_epoch - 1].elapsed_seconds for a in accuracies]),
                rate([t.resident.images_per_second(batch) for t in trainings]),
                rate([t.loader.steps * batch / t.loader.total_seconds for t in trainings]),
                percent(_mean([t.loader.wait_seconds / t.loader.total_seconds for t in trainings])),
                number(_mean([t.first_step_seconds for t in trainings]), 2),
                number(_mean([t.compile_seconds for t in trainings if t.compile_seconds is not None]), 1),
                str(len(trainings)),
                _peak([m.training.allocated_bytes or m.training.resident_bytes for m in _figures(own, Memory)]),
            )
        )
    if not rows:
        return None
    return Table(
        title=f"Training and accuracy: {_describe(fixed)}",
        columns=(
            *_AXES,
            "Top-1 on test, %",
            "s an epoch",
            "s to best epoch",
            "Training img/s",
            "from the loader",
            "Data wait",
            "First step, s",
            "Compile, s",
            "Processes",
            "Peak memory, MiB",
        ),
        labels=4,
        rows=tuple(rows),
        notes=(_RATE_NOTE, _ACCURACY_NOTE, _MEMORY_NOTE),
    )


def _inference(records: Sequence[Record], fixed: Fixed) -> Table | None:
    rows = []
    for cell, own in _by_cell(records):
        inferences = _figures(own, Inference)
        if not inferences:
            continue
        batch = _batch_size(own)
        latencies = [seconds for i in inferences for seconds in i.latency_seconds]
        rows.append(
            (
                *_axes(cell, batch),
                rate([i.resident.images_per_second(batch) for i in inferences]),
                *(milliseconds(latencies, share) for share in (0.5, 0.9, 0.99)),
                number(_mean([i.first_batch_seconds for i in inferences]), 2),
                number(_mean([i.compile_seconds for i in inferences if i.compile_seconds is not None]), 1),
                str(len(inferences)),
                _peak([m.inference.allocated_bytes or m.inference.resident_bytes for m in _figures(own, Memory)]),
            )
        )
    if not rows:
        return None
    return Table(
        title=f"Inference: {_describe(fixed)}",
        columns=(
            *_AXES,
            "img/s",
            "p50, ms",
            "p90, ms",
            "p99, ms",
            "First batch, s",
            "Compile, s",
            "Processes",
            "Peak memory, MiB",
        ),
        labels=4,
        rows=tuple(rows),
        notes=(
            _RATE_NOTE,
            "Latency is of single images, over the requests of all processes. 'too few': a percentile needs 64 samples "
            "at p90 and 662 at p99 (MLPerf LoadGen's rule).",
        ),
    )


def _exports(records: Sequence[Record], fixed: Fixed) -> Table | None:
    rows = []
    for cell, own in _by_cell(records):
        for record in own:
            export = record.figures
            if isinstance(export, Export):
                rows.append(
                    (
                        *_axes(cell, _batch_size(own))[:2],
                        record.measurement.partition(":")[2],
                        f"{export.method}; {export.runtime}, {export.threads} threads",
                        str(cell.image_size),
                        number(export.export_seconds),
                        number(export.artifact_bytes / 2**20),
                        milliseconds([export.load_seconds], 0.5),
                        milliseconds([export.first_inference_seconds], 0.5),
                        *(milliseconds(export.latency_seconds, share) for share in (0.5, 0.9, 0.99)),
                        f"{export.maximum_relative_error:.0e}",
                        percent(export.top1_agreement),
                    )
                )
    if not rows:
        return None
    return Table(
        title=f"Exports: {_describe(fixed)}",
        columns=(
            "Architecture",
            "Framework",
            "Format",
            "Made by; run by",
            "Image px",
            "Export, s",
            "MiB",
            "Load, ms",
            "First, ms",
            "p50, ms",
            "p90, ms",
            "p99, ms",
            "Largest error",
            "Equal top-1",
        ),
        labels=4,
        rows=tuple(sorted(rows)),
        notes=(
            "One process each. The largest error is over all logits of the compared images, as a share of the largest "
            "logit; an artifact above the tolerance has no row here but one below.",
        ),
    )


def _not_measured(records: Sequence[Record]) -> Table | None:
    rows = {
        (record.cell.id, record.measurement, record.status, record.reason or "")
        for record in records
        if record.status != "ok" and record.measurement != PROBE
    }
    if not rows:
        return None
    return Table(
        title="Not measured",
        columns=("Cell", "Measurement", "Status", "Reason"),
        labels=4,
        rows=tuple(sorted(rows)),
    )


_MEMORY_NOTE = (
    "Peak memory: on a GPU the allocator's peak, on a CPU the resident peak above what stood before the model."
)


_RATE_NOTE = (
    "Rates: median over processes; in brackets their whole range below six processes, from six on the 95 % interval of the "
    "median (order statistics)."
)
_ACCURACY_NOTE = (
    "Top-1: one process a seed, their mean; in brackets Wilson's 95 % interval for a test split of this size, which says "
    "nothing of other seeds. The epoch was chosen on validation."
)


def _by_cell(records: Sequence[Record]) -> list[tuple[Cell, list[Record]]]:
    cells: dict[Cell, list[Record]] = defaultdict(list)
    for record in records:
        cells[record.cell].append(record)
    return sorted(cells.items(), key=lambda item: _order(item[0]))


def _order(cell: Cell) -> tuple[object, ...]:
    precision = list(PRECISIONS).index(cell.precision)
    return (
        cell.architecture,
        cell.image_size,
        cell.framework,
        cell.execution,
        precision,
        str(cell.batch_size).zfill(6),
    )


def _axes(cell: Cell, batch: int) -> tuple[str, ...]:
    shown = f"{batch} (auto)" if cell.batch_size == "auto" else str(batch)
    title = model_card(cell.architecture).title
    return (title, cell.framework, cell.precision, cell.execution, shown, str(cell.image_size))


def _batch_size(records: Sequence[Record]) -> int:
    return next((record.batch_size for record in records if record.figures and record.batch_size), 1)


def _figures(records: Sequence[Record], kind: type[T]) -> list[T]:
    return [record.figures for record in records if isinstance(record.figures, kind)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _peak(values: Sequence[int]) -> str:
    return mebibytes(max(values)) if values else NOTHING


def _describe(fixed: Fixed) -> str:
    device, dataset, weights, recipe = fixed
    return f"{dataset}, {weights} weights, recipe {recipe}, on {device}"
