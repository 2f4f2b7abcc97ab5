"""The comparison tables of one run."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from bench.frameworks import FRAMEWORKS, library
from bench.measure import PROBE
from bench.plan.cards import model_card, model_names
from bench.plan.cell import PRECISIONS, Cell
from bench.records.rates import Reference, reference
from bench.records.record import (
    Accuracy,
    BatchSize,
    Build,
    Ceilings,
    Export,
    Inference,
    MultiLabelAccuracy,
    Record,
    Training,
)
from bench.report import columns
from bench.report.ceilings import ceilings_table
from bench.report.columns import Columns, Row
from bench.report.format import NOTHING
from bench.report.table import Table


def tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """Return every table that the records of one run fill, sorted and with fixed digits.

    Rows stand in one table only where device, data set, weights and recipe are the same. Of a run that compares the tables
    show B, and one more shows both.
    """
    compared = [record for record in records if record.side is not None]
    records = [record for record in records if record.side in (None, "b")]
    held = reference(records)
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        if isinstance(record.figures, Ceilings):
            continue
        cell = record.cell
        groups[(cell.dataset, f"{cell.weights} weights", f"recipe {cell.recipe}", f"on {cell.device}")].append(record)
    found = [table for fixed in sorted(groups) for table in _overviews(", ".join(fixed), groups[fixed], held)]
    found.append(_table("Models", _rows(records, held, Build), columns.MODELS, 2, columns.MODELS_NOTES))
    found += _multilabel(records, held)
    for fixed in sorted(groups):
        said, own = ", ".join(fixed), groups[fixed]
        found += [
            _table(
                f"Training and accuracy: {said}",
                _rows(own, held, Training, Accuracy),
                columns.TRAINING,
                4,
                columns.TRAINING_NOTES,
            ),
            _table(f"Inference: {said}", _rows(own, held, Inference), columns.INFERENCE, 4, columns.INFERENCE_NOTES),
            _table(f"Exports: {said}", _export_rows(own), columns.EXPORTS, 4, columns.EXPORTS_NOTES),
        ]
    found += [
        ceilings_table(f"What the device can do at most: on {record.cell.device}", record.figures)
        for record in records
        if isinstance(record.figures, Ceilings)
    ]
    if compared:
        # Only here, for statistics need scipy and most results can be shown without.
        from bench.report import compare, comparison

        if compare.has_both_sides(compared):
            found.append(comparison.table(compare.compare(*compare.sides(compared[0].run, compared))))
    found.append(_not_measured([*records, *(record for record in compared if record.side != "b")]))
    return tuple(_with_differences(table) for table in found if table.rows)


def _multilabel(records: Sequence[Record], held: Reference) -> list[Table]:
    """Return a table of images with several labels for each kind of weights and device; losses stand below one another."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _rows(records, held, MultiLabelAccuracy):
        groups[row.cell.weights, row.cell.device].append(row)
    return [
        _table(
            f"Several labels an image: {weights} weights, on {device}",
            sorted(
                groups[weights, device], key=lambda row: (row.cell.dataset, *map(str, _order(row)), row.cell.recipe)
            ),
            columns.MULTILABEL,
            len(columns.MODEL) + 2,
            columns.MULTILABEL_NOTES,
        )
        for weights, device in sorted(groups)
    ]


def _overviews(said: str, records: Sequence[Record], held: Reference) -> list[Table]:
    """Return one table a library's kind, with one row a model, and one that sets every framework's side by side."""
    models = _models(records, held)
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in models:
        kinds[FRAMEWORKS[row.cell.framework].kind].append(row)
    architectures: dict[str, list[Row]] = defaultdict(list)
    for row in models:
        architectures[row.cell.architecture].append(row)
    found = [
        _table(f"{kind}: {said}", rows, columns.OVERVIEW, 4, columns.OVERVIEW_NOTES)
        for kind, rows in sorted(kinds.items())
    ]
    if len(kinds) > 1:
        rows = max((rows for _, rows in sorted(architectures.items())), key=_breadth)
        widest = rows[0].cell.architecture
        title = f"{model_card(widest).title} in {_breadth(rows)[0]} frameworks: {said}"
        found.append(_table(title, rows, columns.OVERVIEW, 4, columns.OVERVIEW_NOTES))
    return found


def _breadth(rows: Sequence[Row]) -> tuple[int, int]:
    """Return in how many frameworks an architecture was measured, and how much."""
    measured = {(row.cell.framework, record.measurement) for row in rows for record in row.records}
    return len({row.cell.framework for row in rows}), len(measured)


def _models(records: Sequence[Record], held: Reference) -> list[Row]:
    """Return one row a model as one framework runs it: its cells in one precision, fp32 where that was measured."""
    cells: dict[tuple[str, str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.figures is not None and not isinstance(record.figures, Export | BatchSize | Ceilings):
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
            own = sorted([*own, *built], key=lambda r: (r.cell.id, r.measurement, r.process))
            rows.append(Row(own[0].cell, own, held))
    return sorted(rows, key=lambda row: (row.cell.architecture, row.cell.framework, row.cell.execution))


def _with_differences(table: Table) -> Table:
    """Return the table with a note on each architecture whose rows are not of the same network in every library."""
    if table.columns[:2] != tuple(columns.MODEL):
        return table
    shown: dict[str, set[str]] = defaultdict(set)
    for title, framework, *_ in table.rows:
        shown[title].add(library(framework))
    notes = []
    for name in model_names():
        card = model_card(name)
        libraries = shown[card.title]
        for own in sorted(libraries & card.frameworks.keys()) if len(libraries) > 1 else ():
            said = "; ".join(
                reason
                for trait, reason in card.frameworks[own].differences.items()
                if trait != "published_pixels" or "pretrained" in table.title
            )
            notes += [f"{card.title}, {own}: {said}."] if said else []
    if not notes:
        return table
    note = " ".join(["Not the network of the first framework on the card:", *notes])
    return msgspec.structs.replace(table, notes=(*table.notes, note))


def _rows(records: Sequence[Record], held: Reference, *kinds: type) -> list[Row]:
    """Return one row a cell that has figures of any of the kinds."""
    cells: dict[Cell, list[Record]] = defaultdict(list)
    for record in records:
        cells[record.cell].append(record)
    rows = [Row(cell, sorted(own, key=lambda r: (r.measurement, r.process)), held) for cell, own in cells.items()]
    return [row for row in sorted(rows, key=_order) if any(row.figures(kind) for kind in kinds)]


def _export_rows(records: Sequence[Record]) -> list[Row]:
    """Return one row an exported artifact."""
    return [
        Row(row.cell, [record])
        for row in _rows(records, Reference({}, {}), Export)
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


def _table(title: str, rows: list[Row], shown: Columns, labels: int, notes: dict[str, str]) -> Table:
    """Return a table of the columns in which any row has something, with the notes on them."""
    texts = tuple(dict.fromkeys(tuple(show(row) for show in shown.values()) for row in rows))
    measured = [number for number in range(len(shown)) if any(text[number] != NOTHING for text in texts)]
    kept = tuple(list(shown)[number] for number in measured)
    return Table(
        title=title,
        columns=kept,
        labels=labels,
        rows=tuple(tuple(text[number] for number in measured) for text in texts),
        notes=tuple(note for about, note in notes.items() if about in ("", *kept)),
    )


def _not_measured(records: Sequence[Record]) -> Table:
    rows = {
        (
            record.cell.id,
            record.measurement + (f", {record.side}" if record.side else ""),
            record.status,
            record.reason or "",
        )
        for record in records
        if record.status != "ok" and record.measurement != PROBE
    }
    names = ("Cell", "Measurement", "Status", "Reason")
    return Table(title="Not measured", columns=names, labels=4, rows=tuple(sorted(rows)))
