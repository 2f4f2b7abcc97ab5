"""A table as data, and its two renderings: Markdown for the README, rich for a terminal."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from bench.report.format import NOTHING, TOO_FEW
from bench.report.layout import GAP, Column, Placed, layout

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table as RichTable

_FIGURE = re.compile(r"[<±+−-]?\d[\d,.]*(e[+-]?\d+)?%?( (\d+|×|s|min|h|px|\(.+\)))*")
_LEGEND = "How to read these tables"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Cells are text already. The first `labels` columns name a row; a column of figures stands right, any other left.

    `notes` are of this table's rows and stand below it; `legend` is of its columns, and told once for all tables shown together.
    `always` names columns that stand in every row, also where all rows say the same.
    """

    title: str
    columns: tuple[str, ...]
    labels: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    always: tuple[str, ...] = ()


def markdown(*tables: Table) -> str:
    """Return tables in GitHub's Markdown, each with its notes below it, and last what is told of all of them."""
    shown = [_markdown(table) for table in tables]
    legend = _legend(tables)
    if legend:
        shown.append("\n".join([f"#### {_LEGEND}", "", *(f"- {text}" for text in legend)]))
    return "\n\n".join(shown)


def _markdown(table: Table) -> str:
    """Return one table; of one without columns the title and the notes."""
    rule = ["---:" if _is_figure(cells) else "---" for cells in _by_column(table)]
    rows = [table.columns, tuple(rule), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows if table.columns]
    return "\n".join([f"#### {table.title}", "", *lines, *[text for note in table.notes for text in ("", note)]])


def _by_column(table: Table) -> list[tuple[str, ...]]:
    return [tuple(row[number] for row in table.rows) for number in range(len(table.columns))]


def _legend(tables: Sequence[Table]) -> list[str]:
    return list(dict.fromkeys(text for table in tables for text in table.legend))


def _is_figure(cells: Sequence[str]) -> bool:
    """Return whether most of what a column says are figures."""
    said = [cell for cell in cells if cell not in (NOTHING, "")]
    return sum(cell == TOO_FEW or bool(_FIGURE.fullmatch(cell)) for cell in said) > len(said) / 2


def terminal(table: Table, width: int) -> "Group":
    """Return the table for rich's console of so many characters; a column with the same cell in every row is told once, below.

    Columns that do not fit beside each other stand in a second table below, with the same names of the rows; where not even the
    names fit beside a column, each row is told line by line.
    """
    from rich.console import Group
    from rich.text import Text

    cells = _by_column(table)
    same = [
        number
        for number, column in enumerate(cells)
        if len(column) > 1 and len(set(column)) == 1 and table.columns[number] not in table.always
    ]
    kept = [number for number in range(len(table.columns)) if number not in same]
    if not kept or kept[0] >= table.labels:
        kept, same = [0, *kept], [number for number in same if number != 0]
    columns = [Column(table.columns[number], cells[number], _is_figure(cells[number])) for number in kept]
    names = sum(number < table.labels for number in kept)
    placed = layout(columns[:names], columns[names:], width)
    drawn: list[RenderableType] = [Text(table.title, style="bold")]
    for number, group in enumerate(placed):
        drawn += [_drawn(group)] if number == 0 else ["", _drawn(group)]
    drawn += [] if placed else [_line_by_line(columns)]
    everywhere = "; ".join(f"{table.columns[number]}: {cells[number][0]}" for number in same)
    notes = [f"In every row — {everywhere}.", *table.notes] if same else table.notes
    return Group(*drawn, *map(Text, notes))


def _drawn(placed: Placed) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column, width in placed:
        drawn.add_column(
            Text(column.header), justify="right" if column.figure else "left", width=width, overflow="fold"
        )
    for row in zip(*(column.cells for column, _ in placed), strict=True):
        drawn.add_row(*map(Text, row))
    return drawn


def _line_by_line(columns: Sequence[Column]) -> "RichTable":
    """Return each row as lines of a name and a value, with a line between rows; what was not measured is left out."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=False)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for number in range(len(columns[0].cells)):
        if number > 0:
            drawn.add_row()
        for column in columns:
            if column.cells[number] != NOTHING:
                drawn.add_row(Text(column.header, style="bold"), Text(column.cells[number]))
    return drawn


def show(*tables: Table, heading: str = "") -> None:
    """Print tables: drawn on a terminal, as Markdown into a file or a pipe, where no width would fit."""
    import sys

    if not sys.stdout.isatty():
        print("\n\n".join([*([heading] if heading else []), markdown(*tables)]), end="\n\n", flush=True)
        return
    from rich.console import Console

    draw(Console(), tables, heading)


def draw(console: "Console", tables: Sequence[Table], heading: str = "") -> None:
    """Print tables on a terminal of the console's width, and last what is told of all of them."""
    from rich.text import Text

    if heading:
        console.print(Text(heading), end="\n\n")
    for table in tables:
        console.print(terminal(table, console.width), "")
    legend = _legend(tables)
    if legend:
        console.print(Text(_LEGEND, style="bold"), *map(Text, legend), "", sep="\n")
