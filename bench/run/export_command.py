"""`bench export`, from the command line and from Python: the folder of a training becomes formats below it.

Nothing here imports a framework, or NumPy, before the framework's environment is set.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import unknown
from bench.export import FORMATS
from bench.frameworks import use

if TYPE_CHECKING:
    from bench.run.exported import Exported


def check_names(formats: Sequence[str]) -> None:
    """Raise `UsageError` for a format that does not exist."""
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)


def run(folder: Path, formats: Sequence[str], tell: Callable[[str], None]) -> "Iterator[Exported]":
    """Export what `bench train` left in a folder to each format, and yield how each went; `tell` gets what happens meanwhile."""
    check_names(formats)
    from bench.records.trained import MODEL, Trained, read_json

    trained = read_json(folder / MODEL, Trained)
    # Its weights are kept in 32 bits, whatever it was trained in.
    cell = msgspec.structs.replace(trained.cell, precision="fp32", execution="eager")
    trained = msgspec.structs.replace(trained, cell=cell)
    use(trained.cell.framework)
    from bench.run.exported import export
    from bench.run.predict import open_trained

    yield from export(folder, trained, open_trained(folder, trained, "cpu"), formats, tell)
