"""bench measures image-classification models: architectures × frameworks × precisions, in one table."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__version__ = "0.1.0"


def load(path: "str | Path" = "results") -> "pandas.DataFrame":
    """Return the results in a folder or a file as a DataFrame, one row a record.

    The columns are the cell's axes, `measurement`, `process`, `status`, `reason`, and the figures with their units in
    their names. A job that was tried again shows its last record. Raises `UsageError` where there are no results.
    """
    from bench.records.frame import frame

    return frame(Path(path))
