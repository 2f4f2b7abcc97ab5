"""A table as data, and its two renderings: Markdown for the README, rich for a terminal."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_LONGEST_FIGURE = 24


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Cells are text already. The first `labels` columns are names and stand left, the rest are figures and stand right."""

    title: str
    columns: tuple[str, ...]
    labels: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, its notes below it."""
    rule = ["---:" if _is_figure(table, number) else "---" for number in range(len(table.columns))]
    rows = [table.columns, tuple(rule), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"#### {table.title}", "", *lines, *[text for note in table.notes for text in ("", note)]])


def terminal(table: Table) -> "RichTable":
    """Return the table for rich's console; a column with the same cell in every row is told once, below."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    cells = list(zip(*table.rows, strict=True))
    same = [n for n, column in enumerate(cells) if len(column) > 1 and len(set(column)) == 1]
    kept = [number for number in range(len(table.columns)) if number not in same] or [0]
    everywhere = "; ".join(f"{table.columns[number]}: {cells[number][0]}" for number in same)
    notes = [f"In every row — {everywhere}.", *table.notes] if same else table.notes
    drawn = RichTable(
        title=escape(table.title),
        caption=escape("\n".join(notes)) or None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number in kept:
        drawn.add_column(
            escape(table.columns[number]),
            justify="right" if _is_figure(table, number) else "left",
            overflow="fold",
            no_wrap=number < table.labels and not _is_prose(table, number),
        )
    for row in table.rows:
        drawn.add_row(*(escape(row[number]) for number in kept))
    return drawn


def _is_figure(table: Table, column: int) -> bool:
    return column >= table.labels and not _is_prose(table, column)


def _is_prose(table: Table, column: int) -> bool:
    return any(len(row[column]) > _LONGEST_FIGURE for row in table.rows)


def show(table: Table) -> None:
    """Print a table: drawn on a terminal, as Markdown into a file or a pipe, where no width would fit."""
    import sys

    if not sys.stdout.isatty():
        print(f"{markdown(table)}\n", flush=True)
        return
    from rich.console import Console

    Console().print(terminal(table), "")
