"""MATLAB files, in which some authors keep their lists."""

from pathlib import Path
from typing import Any

from scipy.io import loadmat

from bench.errors import JobError


def load(file: Path) -> dict[str, Any]:
    """Return the arrays of a .mat file, axes of length 1 left out; raise `JobError` where it is none."""
    try:
        found: dict[str, Any] = loadmat(file, squeeze_me=True)
    except Exception as error:  # A broken file makes SciPy raise nearly anything.
        raise JobError(f"{file}: cannot be read: {error}") from error
    return found
