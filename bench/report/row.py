"""A row of the comparison tables before it is text: a cell with what was measured of it."""

from typing import NamedTuple, TypeVar

from bench.plan.cell import Cell
from bench.records.rates import Reference
from bench.records.record import Record

T = TypeVar("T")


class Row(NamedTuple):
    """What stands behind one row: a cell with its records."""

    cell: Cell
    records: list[Record]
    reference: Reference = Reference({}, {})

    @property
    def batch_size(self) -> int:
        return next(record.batch_size for record in self.records if record.figures and record.batch_size)

    def records_of(self, kind: type) -> list[Record]:
        """Return the records with figures of one kind, one a process."""
        return [record for record in self.records if isinstance(record.figures, kind)]

    def figures(self, kind: type[T]) -> list[T]:
        """Return the figures of one kind, one a process."""
        return [record.figures for record in self.records if isinstance(record.figures, kind)]

    def first(self, kind: type[T]) -> T:
        """Return the first process's figures of one kind, of which there must be some."""
        return self.figures(kind)[0]

    def part(self, kind: type) -> "Row":
        """Return what was measured of a model in one cell: that of a kind's figures with the largest images and then batch."""
        cells = [record.cell for record in self.records_of(kind)]
        if not cells:
            return Row(self.cell, [])
        cell = max(cells, key=lambda cell: (cell.image_size, str(cell.batch_size).zfill(6), cell.id))
        return Row(cell, [record for record in self.records if record.cell == cell], self.reference)
