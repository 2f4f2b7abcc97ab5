"""A table as data, and its two renderings: Markdown for the README, rich for a terminal."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.table import Table as RichTable


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Cells are text already. The first `labels` columns are names and stand left, the rest are figures and stand right."""

    title: str
    columns: tuple[str, ...]
    labels: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, its notes below it."""
    rule = ["---" if number < table.labels else "---:" for number in range(len(table.columns))]
    rows = [table.columns, tuple(rule), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"#### {table.title}", "", *lines, *[text for note in table.notes for text in ("", note)]])


def terminal(table: Table) -> "RichTable":
    """Return the table for rich's console."""
    from rich.markup import escape
    from rich.table import Table as RichTable

    drawn = RichTable(
        title=escape(table.title),
        caption=escape("\n".join(table.notes)) or None,
        title_justify="left",
        caption_justify="left",
    )
    for number, column in enumerate(table.columns):
        right = number >= table.labels
        drawn.add_column(escape(column), justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(escape(cell) for cell in row))
    return drawn


def show(table: Table) -> None:
    """Print a table: drawn on a terminal, as Markdown into a file or a pipe, where no width would fit."""
    import sys

    if not sys.stdout.isatty():
        print(f"{markdown(table)}\n", flush=True)
        return
    from rich.console import Console

    Console().print(terminal(table), "")
