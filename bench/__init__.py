"""bench measures image-classification models: architectures × frameworks × precisions, in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from bench.records.trained import Metrics

__version__ = "0.1.0"


def load(path: "str | Path" = "results") -> "pandas.DataFrame":
    """Return the results in a folder or a file as a DataFrame, one row a record.

    The columns are the cell's axes, `measurement`, `process`, `status`, `reason`, and the figures with their units in
    their names. A job that was tried again shows its last record. Raises `UsageError` where there are no results.
    """
    from bench.records.frame import frame

    return frame(Path(path))


def train(architecture: str, **options: Any) -> "Metrics":
    """Train one model by a recipe in this process, leave it in a folder, and return what it is worth.

    The options are those of `bench train` (bench/run/train_command.py has them): framework, dataset, recipe, out, weights,
    precision, execution, batch_size, image_size, epochs, device, seed, resume, skip_unreadable, formats. Raises `UsageError`
    before anything is trained, and `JobError` where the training fails.
    """
    from bench.run.train_command import Options, run

    if "out" in options:
        options["out"] = Path(options["out"])
    return run(Options(architecture=architecture, **options))
