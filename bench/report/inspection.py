"""What `bench inspect` shows: the splits with their classes, then what is unusual, then what is wrong."""

from bench.data.inspect import Inspection
from bench.report.format import NOTHING
from bench.report.table import Table

_CLASSES_SHOWN = 100


def tables(name: str, found: Inspection) -> tuple[Table, ...]:
    """Return a table of the splits and one of their classes, of which the rarest come first where there are many."""
    return _splits(name, found), _classes(found)


def lines(found: Inspection) -> tuple[str, ...]:
    """Return what was seen in one line each: sizes, modes, notes, faults, and last how many faults there are."""
    shown = []
    if found.sizes:
        smallest, median, largest = (f"{width}×{height}" for width, height in found.sizes)
        shown.append(f"sizes: {smallest} to {largest} px, median {median}")
        shown.append("modes: " + ", ".join(f"{count:,} {mode}" for mode, count in found.modes.items()))
    shown += [f"note: {note}" for note in found.notes]
    shown += [f"wrong: {fault}" for fault in found.faults]
    return (*shown, f"faults: {len(found.faults)}" if found.faults else "nothing wrong")


def _splits(name: str, found: Inspection) -> Table:
    kind = "several labels an image" if found.several_labels else "one label an image"
    return Table(
        title=f"{name}: {len(found.classes)} classes, {kind}",
        columns=("Split", "Images", "Hash"),
        labels=1,
        rows=tuple((split.name, f"{split.images:,}", split.hash or NOTHING) for split in found.splits),
    )


def _classes(found: Inspection) -> Table:
    counts = [split.counts or (None,) * len(found.classes) for split in found.splits]
    rows = list(zip(found.classes, *counts, strict=True))
    notes: tuple[str, ...] = ()
    if len(rows) > _CLASSES_SHOWN:
        rows = sorted(rows, key=lambda row: row[1] or 0)[:_CLASSES_SHOWN]
        notes = (f"The {_CLASSES_SHOWN} rarest in training of {len(found.classes)}.",)
    return Table(
        title="Images a class",
        columns=("Class", *(split.name.capitalize() for split in found.splits)),
        labels=1,
        rows=tuple((label, *(NOTHING if count is None else f"{count:,}" for count in of)) for label, *of in rows),
        notes=notes,
    )
