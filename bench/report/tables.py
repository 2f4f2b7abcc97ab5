"""The comparison tables of one run."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

import msgspec

from bench.export import FORMATS
from bench.frameworks import FRAMEWORKS, library
from bench.measure import PROBE
from bench.plan.cards import model_card, model_names
from bench.plan.cell import PRECISIONS, Cell
from bench.records.accuracy import Accuracy, MultiLabelAccuracy
from bench.records.rates import Reference, busy_elsewhere, reference
from bench.records.record import BatchSize, Build, Ceilings, Export, Inference, Record, Training
from bench.report import columns, export_columns, notes
from bench.report.beside import beside_published
from bench.report.ceilings import ceilings_table
from bench.report.columns import Columns
from bench.report.format import NOTHING
from bench.report.row import Row
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
        fixed = (cell.dataset, f"from {cell.weights} weights", f"recipe {cell.recipe}", f"on {cell.device}")
        groups[(*fixed, "B alone") if record.side else fixed].append(record)
    found = [table for fixed in sorted(groups) for table in _overviews(", ".join(fixed), groups[fixed], held)]
    found.append(_table("Models", _rows(records, held, Build), columns.MODELS, 3, notes.MODELS))
    found.append(_differences(records))
    found += _multilabel(records, held)
    found += [table for fixed in sorted(groups) for table in _kinds(", ".join(fixed), groups[fixed], held)]
    found.append(beside_published(_rows(records, held, Training, Inference)))
    found += [
        ceilings_table(
            f"What the device can do at most: on {record.cell.device}", record.figures, busy_elsewhere(record)
        )
        for record in records
        if isinstance(record.figures, Ceilings)
    ]
    if compared:
        # Only here, for statistics need scipy and most results can be shown without.
        from bench.report import compare, comparison

        if compare.has_both_sides(compared):
            found.append(comparison.table(compare.compare(*compare.sides(compared[0].run, compared))))
    found.append(_not_measured([*records, *(record for record in compared if record.side != "b")]))
    return tuple(table for table in found if table.rows)


def _kinds(said: str, records: Sequence[Record], held: Reference) -> list[Table]:
    """Return a table for each kind of measurement."""
    axes = len(columns.AXES)
    trained, predicted = _rows(records, held, Training, Accuracy), _rows(records, held, Inference)
    return [
        _table(f"Training and accuracy: {said}", trained, columns.TRAINING, axes, notes.TRAINING),
        _table(f"Inference: {said}", predicted, columns.INFERENCE, axes, notes.INFERENCE),
        _formats_by_model(said, records),
        _table(
            f"Exports: {said}",
            _export_rows(records),
            export_columns.EXPORTS,
            len(export_columns.EXPORTED) + 2,
            notes.EXPORTS,
        ),
        _export_choice(said, records),
    ]


def _multilabel(records: Sequence[Record], held: Reference) -> list[Table]:
    """Return a table of images with several labels for each kind of weights and device; losses stand below one another."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _rows(records, held, MultiLabelAccuracy):
        groups[row.cell.weights, row.cell.device].append(row)
    return [
        _table(
            f"Several labels an image: from {weights} weights, on {device}",
            sorted(
                groups[weights, device], key=lambda row: (row.cell.dataset, *map(str, _order(row)), row.cell.recipe)
            ),
            columns.MULTILABEL,
            len(columns.AXES) + 2,
            notes.MULTILABEL,
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
        _table(f"{kind}: {said}", rows, columns.OVERVIEW, 4, notes.OVERVIEW) for kind, rows in sorted(kinds.items())
    ]
    if len(kinds) > 1:
        rows = max((rows for _, rows in sorted(architectures.items())), key=_breadth)
        widest = rows[0].cell.architecture
        title = f"{model_card(widest).title} in {_breadth(rows)[0]} frameworks: {said}"
        found.append(_table(title, rows, columns.OVERVIEW, 4, notes.OVERVIEW))
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


def _differences(records: Sequence[Record]) -> Table:
    """Return in what the rows of an architecture, measured in several libraries, are not of the same network in each."""
    shown: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.figures is not None and not isinstance(record.figures, Ceilings):
            shown[record.cell.architecture].add(library(record.cell.framework))
    published = {record.cell.architecture for record in records if record.cell.weights == "pretrained"}
    rows = []
    for name in model_names():
        card = model_card(name)
        for own in sorted(shown[name] & card.frameworks.keys()) if len(shown[name]) > 1 else ():
            reasons = card.frameworks[own].differences.items()
            told = [reason for trait, reason in reasons if trait != "published_pixels" or name in published]
            rows += [(card.title, own, "; ".join(told))] if told else []
    names = ("Architecture", "In", "What differs from the first framework on its card")
    return Table(title="Not the same network everywhere", columns=names, labels=2, rows=tuple(rows))


def _rows(records: Sequence[Record], held: Reference, *kinds: type) -> list[Row]:
    """Return one row a cell that has figures of any of the kinds."""
    cells: dict[Cell, list[Record]] = defaultdict(list)
    for record in records:
        cells[record.cell].append(record)
    rows = [Row(cell, sorted(own, key=lambda r: (r.measurement, r.process)), held) for cell, own in cells.items()]
    return [row for row in sorted(rows, key=_order) if any(row.figures(kind) for kind in kinds)]


def _export_rows(records: Sequence[Record]) -> list[Row]:
    """Return one row a cell and format that has artifacts: one a process."""
    return [
        Row(row.cell, list(own))
        for row in _rows(records, Reference({}, {}), Export)
        for _, own in groupby(row.records_of(Export), lambda record: record.measurement)
    ]


def _formats_by_model(said: str, records: Sequence[Record]) -> Table:
    """Return a table with a column a format, of the models of a run that have several: what became of each export."""
    models = _rows(records, Reference({}, {}), Export)
    shown = export_columns.EXPORTED | {name: export_columns.export_p50(name) for name in FORMATS}
    title = f"Every model in every format, p50 in ms: {said}"
    table = _table(title, models, shown, len(export_columns.EXPORTED), notes.FORMATS_BY_MODEL)
    several = len(table.rows) > 1 and len(table.columns) - table.labels > 1
    return table if several else msgspec.structs.replace(table, rows=())


def _export_choice(said: str, records: Sequence[Record]) -> Table:
    """Return a table of the best format of each model that several were timed of: for latency, size, and accuracy kept."""
    models: dict[Cell, list[Row]] = defaultdict(list)
    for row in filter(export_columns.is_timed, _export_rows(records)):
        models[row.cell].append(row)
    rows = [
        (*(show(own[0]) for show in export_columns.EXPORTED.values()), *export_columns.best_formats(own))
        for own in models.values()
        if len(own) > 1
    ]
    names, measured = (*export_columns.EXPORTED, *export_columns.BEST_FORMATS), _measured(rows)
    return Table(
        title=f"Which format: {said}",
        columns=tuple(names[number] for number in measured),
        labels=len(measured),
        rows=tuple(dict.fromkeys(tuple(row[number] for number in measured) for row in rows)),
        legend=tuple(notes.EXPORT_CHOICE.values()),
    )


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


def _table(title: str, rows: list[Row], shown: Columns, labels: int, about: notes.Notes) -> Table:
    """Return a table of the columns in which any row has something, with the legends of them."""
    texts = tuple(dict.fromkeys(tuple(show(row) for show in shown.values()) for row in rows))
    measured = _measured(texts)
    kept = tuple(list(shown)[number] for number in measured)
    return Table(
        title=title,
        columns=kept,
        labels=sum(number < labels for number in measured),
        rows=tuple(tuple(text[number] for number in measured) for text in texts),
        legend=tuple(note for column, note in about.items() if column in ("", *kept)),
    )


def _measured(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the places of the columns in which any row has something."""
    return [place for place, column in enumerate(zip(*rows, strict=True)) if any(text != NOTHING for text in column)]


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
    return Table(title="Not measured", columns=names, labels=2, rows=tuple(sorted(rows)))
