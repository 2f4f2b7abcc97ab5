"""How a table's columns lie in the width of a terminal: beside each other, or in several tables one below the other.

No figure and no word is ever cut: a column is at least as wide as its longest figure, or the longest word of its text.
"""

from collections.abc import Sequence
from typing import NamedTuple

GAP = 2
# Text is wrapped between words, but gets this much where it needs so much, lest a sentence stand as a ladder of words.
_TEXT_WIDTH = 24


class Column(NamedTuple):
    """One column's text. A figure is never wrapped, other text between words."""

    header: str
    cells: tuple[str, ...]
    figure: bool

    @property
    def least(self) -> int:
        """The width below which something would be torn."""
        longest = max(map(_width, self.cells), default=0)
        words = [_width(word) for text in (self.header, *self.cells) for word in text.split()]
        return max(longest if self.figure else min(longest, _TEXT_WIDTH), *words)

    @property
    def most(self) -> int:
        """The width at which nothing is wrapped."""
        return max(_width(text) for text in (self.header, *self.cells))


Placed = tuple[tuple[Column, int], ...]


def layout(names: Sequence[Column], others: Sequence[Column], width: int) -> tuple[Placed, ...]:
    """Return the tables that the columns fill one below the other, each with the names of its rows and each column's width.

    Empty where the names and one column more do not fit.
    """
    groups: list[list[Column]] = [[*names]]
    for column in others:
        if _total([*groups[-1], column]) > width and len(groups[-1]) > len(names):
            groups.append([*names])
        groups[-1].append(column)
    return tuple(_widened(group, width) for group in groups) if all(_total(own) <= width for own in groups) else ()


def _widened(columns: Sequence[Column], width: int) -> Placed:
    """Give the room that is left to the columns that are wrapped most, character by character."""
    widths = [column.least for column in columns]
    for _ in range(width - _total(columns)):
        lacking = [column.most - given for column, given in zip(columns, widths, strict=True)]
        if max(lacking) <= 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return tuple(zip(columns, widths, strict=True))


def _total(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + GAP * (len(columns) - 1)


def _width(text: str) -> int:
    # Only here, for Markdown needs nothing drawn.
    from rich.cells import cell_len

    return cell_len(text)
